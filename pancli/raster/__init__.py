"""Files: the only place that knows GDAL, through rasterio.

``names`` says which files the user names, ``env`` how GDAL is set, ``hearing`` what it warns of; ``source``
opens a file, ``grid`` says where its pixels lie, ``bands`` and ``checksums`` what is valid and undamaged of
them; ``pair`` reads pan and ms by window, ``warping`` brings ms into pan's CRS, ``aligned`` an image on their
grid, ``image`` a small one whole. ``area`` turns a polygon or a box into pixels. ``spec`` says what a file is
to be, with what is ``carried`` over, ``creation`` begins it so, ``output`` writes it and lets it exist only
when complete, which ``commit`` sees to, and ``together`` several at once; ``quicklook`` and ``stac`` tell of
it, ``fingerprint`` knows it again. ``gdal_brovey`` is GDAL's pansharpener. Arrays go in and out; nothing here
knows torch.
"""
