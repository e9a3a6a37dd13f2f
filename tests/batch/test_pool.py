"""The queue, with workers that die as they are told to."""

import pytest

from pancli.batch.entries import Entry
from pancli.batch.pool import run_pool
from pancli.batch.scene import SceneResult


class Scripted:
    """Makes one scene at a time; ``deaths``: how many workers die over which; ``bad``: what fails."""

    def __init__(self, deaths=None, bad=(), workers=1):
        self.deaths, self.bad, self.workers = dict(deaths or {}), bad, workers
        self.given, self.held, self.most, self.ended = [], [], 0, False

    @property
    def busy(self):
        return bool(self.held)

    @property
    def has_room(self):
        return len(self.held) < self.workers

    def give(self, task):
        assert self.has_room
        self.held.append(task)
        self.given.append((task.entry.output, task.attempt, task.again))
        self.most = max(self.most, len(self.held))

    def take(self):
        task = self.held.pop(0)
        name = task.entry.output
        if self.deaths.get(name, 0):
            self.deaths[name] -= 1
            yield task, "its worker died"
        else:
            yield task, SceneResult(task.entry, "failed" if name in self.bad else "done", 0.0)

    def end(self):
        self.ended = True


def run(pool, names, *, keep_going=True, attempts=3):
    entries = [Entry("pan", ("ms",), name) for name in names]
    return run_pool(entries, pool, keep_going=keep_going, attempts=attempts)


def test_no_more_is_given_away_than_there_are_workers():
    pool = Scripted(workers=2)
    assert [r.entry.output for r in run(pool, "abcdefgh")] == list("abcdefgh")
    assert pool.most == 2 and pool.ended


def test_a_scene_is_tried_again_at_once_until_it_has_failed():
    pool = Scripted(deaths={"a": 2, "b": 3})
    results = list(run(pool, "abc"))
    assert [(r.entry.output, r.status) for r in results] == [("a", "done"), ("b", "failed"), ("c", "done")]
    assert results[1].error == "its worker died, 3 times; is there enough memory for b?"
    assert [(name, again) for name, _, again in pool.given[:3]] == [("a", False), ("a", True), ("a", True)]
    assert [attempt for name, attempt, _ in pool.given if name == "b"] == [1, 2, 3]


@pytest.mark.parametrize("how", [{"bad": "b"}, {"deaths": {"b": 3}}])
def test_after_a_failure_what_is_being_made_ends_and_nothing_is_begun(how):
    pool = Scripted(workers=2, **how)
    results = list(run(pool, "abcdef", keep_going=False))
    assert [r.entry.output for r in results if r.failed] == ["b"]
    assert {name for name, *_ in pool.given} < set("abcdef") and pool.ended
    assert len(results) == len({name for name, *_ in pool.given})


def test_what_was_being_made_where_another_fails_is_made_though_its_worker_died_just_then():
    class AtOnce(Scripted):
        def take(self):
            while self.held:
                yield from super().take()

    pool = AtOnce(deaths={"a": 1}, bad="b", workers=2)
    results = list(run(pool, "abcd", keep_going=False))
    assert {r.entry.output: r.status for r in results} == {"a": "done", "b": "failed"}


def test_no_worker_waits_for_who_hears_of_results_and_closing_ends_all():
    pool = Scripted(workers=2)
    results = run(pool, "abcd")
    next(results)
    assert [name for name, *_ in pool.given] == ["a", "b", "c"]
    results.close()
    assert pool.ended and len(pool.given) == 3
