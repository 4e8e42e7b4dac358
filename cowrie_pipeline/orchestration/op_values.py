"""How one op of a graph gives another what it found out: written beside the event that tells of it.

Ops may be done by several machines, which share Dagster's storage but not a disk. What they give each other is small:
which part of the work is whose, and what it came to. What they make is in the database.

Belongs here: keeping values and finding them again. Does not belong here: the values (steps/).
"""

from typing import Any

import dagster as dg
import msgspec

__all__ = ["op_values"]

_VALUE, _MAPPING_KEY = "value", "mapping_key"
_HANDLED = {dg.DagsterEventType.HANDLED_OUTPUT}


class _OpValues(dg.IOManager):
    """Keeps values as JSON in the metadata of their event; their type is that of the op's output."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Keep a value."""
        value = msgspec.to_builtins(obj, str_keys=True)
        context.add_output_metadata(
            {_VALUE: dg.MetadataValue.json(value), _MAPPING_KEY: dg.MetadataValue.text(context.mapping_key or "")}
        )

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the value of the last try of the op that gave it."""
        output = context.upstream_output
        assert output is not None  # noqa: S101 - inputs of our ops come from other ops
        wanted = output.step_key, output.name, output.mapping_key or ""
        found = None
        cursor, has_more = None, True
        while has_more:
            page = self._instance.get_records_for_run(output.run_id, cursor, of_type=_HANDLED)
            for record in page.records:
                event = record.event_log_entry.get_dagster_event()
                data: Any = event.event_specific_data
                key = data.metadata.get(_MAPPING_KEY)
                if key is not None and (event.step_key, data.output_name, key.value) == wanted:
                    found = data.metadata[_VALUE].value
            cursor, has_more = page.cursor, page.has_more
        if found is None:
            raise dg.DagsterInvariantViolationError(
                f"run {output.run_id} has no value of {output.step_key}: start it anew, not from the step that failed"
            )
        return msgspec.convert(found, output.dagster_type.typing_type, str_keys=True)


@dg.io_manager(description="What ops give each other, in Dagster's event log: no disk is shared for it.")
def op_values(context: dg.InitResourceContext) -> dg.IOManager:
    """Return the keeper of the values of a run."""
    assert context.instance is not None  # noqa: S101 - a run has one
    return _OpValues(context.instance)
