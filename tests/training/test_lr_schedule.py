import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.training.lr_schedule import LearningRateSchedule
from everypose.training.recipe import parse_recipe


def schedule(samples=100, world_size=1, **settings):
    settings = {"epochs": 20, "warmup_epochs": 2} | settings
    recipe = parse_recipe({"model": {"family": "boir"}, "schedule": settings, "trainer": {"batch": 5, "accumulate": 2}})
    return LearningRateSchedule.of(recipe, samples, world_size)


def test_warm_up_is_linear_and_the_cosine_ends_at_the_final_rate():
    plan = schedule()
    assert plan.steps == 200
    assert plan.learning_rate(0) == pytest.approx(1e-12)
    assert plan.learning_rate(10) == pytest.approx(1e-12 + (1e-3 - 1e-12) / 2)
    assert plan.learning_rate(20) == pytest.approx(1e-3)
    assert plan.learning_rate(110) == pytest.approx((1e-3 + 1e-6) / 2)
    assert plan.learning_rate(200) == pytest.approx(1e-6)
    for step in range(20, 200):
        expected = 1e-6 + (1e-3 - 1e-6) * (1 + math.cos(math.pi * (step - 20) / 180)) / 2
        assert plan.learning_rate(step) == pytest.approx(expected)


def test_multistep_falls_at_the_milestones():
    plan = schedule(kind="multistep", milestones=[10, 15], warmup_epochs=0)
    rates = [plan.learning_rate(step) for step in range(200)]
    assert rates == pytest.approx([1e-3] * 100 + [1e-4] * 50 + [1e-5] * 50)


def test_the_number_of_processes_shortens_the_run():
    assert schedule(world_size=4).steps == 50
    assert schedule(world_size=4).learning_rate(5) == pytest.approx(1e-3)


def test_steps_may_be_given_instead_of_epochs():
    assert schedule(epochs=0, steps=7).steps == 7


@given(samples=st.integers(1, 60), epochs=st.integers(1, 20), every=st.integers(1, 5))
def test_each_epoch_ends_once_and_the_last_step_completes_the_run(samples, epochs, every):
    plan = schedule(samples, epochs=epochs)
    assert (plan.steps - 1) * plan.global_batch < epochs * samples <= plan.steps * plan.global_batch
    ends = [step for step in range(1, plan.steps + 1) if plan.ends_epoch(step, every)]
    literal = sorted({math.ceil(e * samples / plan.global_batch) for e in range(every, 10 * epochs + 10, every)})
    assert ends == [step for step in literal if step <= plan.steps]
    assert not any(plan.ends_epoch(step, 0) for step in range(1, 5))
