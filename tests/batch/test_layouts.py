"""Folders as delivered."""

from pathlib import Path

import pytest

from pancli.batch.entries import Naming
from pancli.batch.layouts import LAYOUTS, find_entries
from pancli.errors import InputError

NAMING = Naming(Path("out"))


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder, layout):
    return [
        (str(Path(e.pan).relative_to(folder)), [Path(m).name for m in e.ms], e.output)
        for e in find_entries([folder], layout, NAMING)
    ]


def test_landsat_scenes_are_found_by_their_bands(tmp_path):
    eight, seven, old = (
        "LC08_L1TP_041027_20150604_20170226_01_T1",
        "LE70410272007125EDC00",
        "LC80410272015155LGN00",
    )
    touch(
        tmp_path, *(f"b/{eight}_B{n}.TIF" for n in range(1, 12)), f"b/{eight}_BQA.TIF", f"b/{eight}_MTL.txt"
    )
    touch(tmp_path, *(f"a/{seven}_B{n}.tif" for n in (1, 2, 3, 4, 5, "6_VCID_1", 7, 8)))
    touch(tmp_path, *(f"a/{old}_B{n}.TIF" for n in range(1, 12)))
    touch(tmp_path, "a/LT05_L1TP_041027_20100604_20170226_01_T1_B1.TIF", "a/L8-B8-Elkton-VA.tiff")
    assert found(tmp_path, "landsat") == [
        (f"a/{old}_B8.TIF", [f"{old}_B{n}.TIF" for n in (2, 3, 4, 5)], f"out/{old}.tif"),
        (f"a/{seven}_B8.tif", [f"{seven}_B{n}.tif" for n in (1, 2, 3, 4)], f"out/{seven}.tif"),
        (f"b/{eight}_B8.TIF", [f"{eight}_B{n}.TIF" for n in (2, 3, 4, 5)], f"out/{eight}.tif"),
    ]


def test_landsat_level_2_and_gap_masks_are_no_scenes(tmp_path):
    one, two = (f"LE07_{level}_193027_20200501_20200820_02_T1" for level in ("L1TP", "L2SP"))
    touch(tmp_path / two, *(f"{two}_SR_B{n}.TIF" for n in range(1, 8)), f"{two}_ST_B6.TIF")
    with pytest.raises(InputError, match="no scene of layout 'landsat'"):
        found(tmp_path, "landsat")
    touch(
        tmp_path, *(f"{one}_B{n}.TIF" for n in range(1, 9)), *(f"gap_mask/{one}_GM_B{n}.TIF" for n in (1, 8))
    )
    assert [pan for pan, _, _ in found(tmp_path, "landsat")] == [f"{one}_B8.TIF"]


def test_of_landsat_the_sensor_is_known(tmp_path):
    touch(tmp_path, "a/LE70410272007125EDC00_B8.tif", "b/LC09_L1TP_1_02_T1_B8.TIF", "c/town_P.tif")
    known = [
        entry.sensor for layout in ("landsat", "pairs") for entry in find_entries([tmp_path], layout, NAMING)
    ]
    assert known == ["landsat7", "landsat9", None]


def test_a_scene_of_which_a_file_is_missing_is_not_passed_over(tmp_path):
    touch(tmp_path, "LC09_L1TP_1_02_T1_B2.TIF")
    assert found(tmp_path, "landsat")[0][0] == "LC09_L1TP_1_02_T1_B8.TIF"
    touch(tmp_path, "town_P.tif")
    assert found(tmp_path, "pairs") == [("town_P.tif", ["town_M.tif"], "out/town.tif")]


def test_pairs_are_found_by_the_ends_of_their_names(tmp_path):
    touch(tmp_path, "a_P.tif", "a_M.tif", "B_PAN.TIF", "B_MS.TIF", "c_pan.tiff", "d_p.tif", "deep/er/pan.tif")
    touch(tmp_path, "map.tif", "xpan.tif", "a_P.tif.aux.xml", "e_P.png", "f_pAn.tif", "._a_P.tif")
    assert found(tmp_path, "pairs") == [
        ("B_PAN.TIF", ["B_MS.TIF"], "out/B.tif"),
        ("a_P.tif", ["a_M.tif"], "out/a.tif"),
        ("c_pan.tiff", ["c_ms.tiff"], "out/c.tif"),
        ("d_p.tif", ["d_m.tif"], "out/d.tif"),
        ("deep/er/pan.tif", ["ms.tif"], "out/er.tif"),
    ]


def test_names_may_be_in_small_letters_and_mixed(tmp_path):
    scene = "lc09_l1tp_1_02_t1"
    touch(tmp_path, *(f"{scene}_b{n}.tif" for n in (2, 3, 4, 5, 8)), "x_p.tif", "x_M.tif")
    assert found(tmp_path, "landsat") == [
        (f"{scene}_b8.tif", [f"{scene}_b{n}.tif" for n in (2, 3, 4, 5)], f"out/{scene}.tif")
    ]
    assert found(tmp_path, "pairs") == [("x_p.tif", ["x_M.tif"], "out/x.tif")]


@pytest.mark.parametrize(
    ("layout", "ends"), [("landsat", [f"B{n}.TIF" for n in range(1, 12)]), ("pairs", ["P.tif", "M.tif"])]
)
def test_a_folder_of_many_scenes_is_gone_through_once(layout, ends):
    looks = []

    class Name(str):
        __slots__ = ()

        def lower(self):
            looks.append(self)
            return str.lower(self)

    names = [Name(f"LC08_{scene:03d}_{end}") for scene in range(50) for end in ends]
    assert len(list(LAYOUTS[layout](Path("a"), names, NAMING))) == 50
    assert len(looks) <= len(names)


def test_scenes_may_share_a_pan_by_links(tmp_path):
    touch(tmp_path, "a/s_P.tif", "a/s_M.tif", "b/t_M.tif")
    (tmp_path / "b" / "t_P.tif").symlink_to(tmp_path / "a" / "s_P.tif")
    assert [out for _, _, out in found(tmp_path, "pairs")] == ["out/s.tif", "out/t.tif"]


def test_a_folder_named_twice_is_searched_once(tmp_path):
    touch(tmp_path, "sub/a_P.tif")
    assert len(find_entries([tmp_path, tmp_path / "sub"], "pairs", NAMING)) == 1


def test_a_folder_without_scenes_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "a_P.tif")
    with pytest.raises(InputError, match="empty: no scene of layout 'pairs'"):
        find_entries([tmp_path, tmp_path / "empty"], "pairs", NAMING)
    with pytest.raises(InputError, match="none: cannot be searched"):
        find_entries([tmp_path / "none"], "pairs", NAMING)
