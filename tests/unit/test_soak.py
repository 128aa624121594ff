"""What a soak makes of its samples: growth is told from noise."""

import random

import pytest

from bench.soak import MEASURES, Outcome, Sample, growing, slope

FLAT = {"rss": 80.0, "fds": 30.0, "tasks": 15.0, "objects": 100_000.0}
NOISE = {"rss": 0.5, "fds": 8.0, "tasks": 6.0, "objects": 800.0}


def series(**trends: float) -> list[Sample]:
    """A hundred seconds of samples with noise; `trends` are by how much a measure grows in all."""
    draw = random.Random(7)  # noqa: S311 - the same noise every time
    samples: list[Sample] = []
    for at in range(100):
        noise = {name: draw.uniform(-most, most) for name, most in NOISE.items()}
        samples.append(
            {"at": at, **{name: FLAT[name] + noise[name] + trends.get(name, 0.0) * at / 100 for name in FLAT}}
        )
    return samples


def test_slope_of_a_line() -> None:
    """The trend of what grows evenly is just that."""
    assert slope([(at, 3.0 + 2.0 * at) for at in range(10)]) == pytest.approx(2.0)


def test_outliers_make_no_trend() -> None:
    """A few samples that were taken at a bad moment change nothing."""
    points = [(float(at), 5.0) for at in range(50)]
    points[45] = points[47] = points[49] = (49.0, 500.0)
    assert slope(points) == 0.0


def test_no_trend_of_one_sample() -> None:
    """Where there is nothing to compare there is no growth."""
    assert slope([(1.0, 5.0)]) == 0.0


def test_noise_levels_off() -> None:
    """What goes up and down does not grow."""
    assert growing(series()) == []


@pytest.mark.parametrize(("name", "trend"), [("rss", 12.0), ("fds", 30.0), ("tasks", 30.0), ("objects", 20_000.0)])
def test_each_measure_may_leak(name: str, trend: float) -> None:
    """A leak of any of them is named, and nothing else is."""
    (complaint,) = growing(series(**{name: trend}))
    assert complaint.startswith(f"{name} grow by ")


def test_warm_up_is_set_aside() -> None:
    """What grows in the beginning, and then no more, levels off."""
    samples = [{**sample, "rss": min(sample["at"], 30.0)} for sample in series()]
    assert growing(samples) == []


def test_complaints() -> None:
    """Left-overs, wrong answers and a bad end are complained of, each in a sentence."""
    quiet: Sample = dict(FLAT)
    good = Outcome(series(), quiet, quiet, status=0)
    assert good.complaints() == []
    assert {measure.name for measure in MEASURES} == FLAT.keys()
    bad = Outcome(series(), quiet, {**quiet, "fds": 40.0, "rss": 100.0}, wrong=["an answer is not for /1"], status=1)
    assert bad.complaints(trends=False) == [
        "an answer is not for /1",
        "20 MiB rss are left over where 15 are noise",
        "10 fds are left over where 3 are noise",
        "the proxy ended with status 1",
    ]
