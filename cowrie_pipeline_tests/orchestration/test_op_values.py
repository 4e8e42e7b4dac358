"""What ops give each other: through Dagster's event log, in the type that they gave it, also to a run that goes on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import dagster as dg
import pytest

from cowrie_pipeline.orchestration.op_values import op_values


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the kinds that ours have."""

    number: int
    first: tuple[int, str] | None
    days: dict[date, float]


def part_of(number: int) -> Part:
    return Part(number, (number, "192.0.2.1") if number else None, {date(2026, 3, 1): 0.5})


@dg.op(out=dg.DynamicOut(Part))
def divide() -> Iterator[dg.DynamicOutput[Part]]:
    for number in range(3):
        yield dg.DynamicOutput(part_of(number), mapping_key=f"part_{number}")


@dg.op
def pass_on(part: Part) -> Part:
    return part


@dg.op(config_schema=dg.Field(bool, default_value=False))
def gather(context: dg.OpExecutionContext, parts: list[Part]) -> None:
    assert parts == [part_of(number) for number in range(3)]
    if not context.has_tag("again"):
        raise RuntimeError("the last step fails")


@dg.job(resource_defs={"io_manager": op_values}, executor_def=dg.in_process_executor)
def made() -> None:
    gather(divide().map(pass_on).collect())


def test_values_come_as_they_were_given_and_a_run_that_goes_on_has_those_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with dg.instance_for_test() as instance:
        first = dg.execute_job(dg.reconstructable(made), instance)
        assert {event.step_key for event in first.get_step_failure_events()} == {"gather"}
        # none is on a disk
        options = dg.ReexecutionOptions.from_failure(first.run_id, instance)
        again = dg.execute_job(dg.reconstructable(made), instance, reexecution_options=options, tags={"again": "yes"})
        assert again.success
        assert {event.step_key for event in again.get_step_success_events()} == {"gather"}


def test_a_value_that_is_gone_is_told_with_what_to_do() -> None:
    with dg.instance_for_test() as instance:
        keeper = op_values(dg.build_init_resource_context(instance=instance))
        output = dg.build_output_context(step_key="divide", name="result", run_id="gone", mapping_key="part_0")
        with pytest.raises(dg.DagsterInvariantViolationError, match="run gone has no value of divide: start it anew"):
            keeper.load_input(dg.build_input_context(upstream_output=output))
