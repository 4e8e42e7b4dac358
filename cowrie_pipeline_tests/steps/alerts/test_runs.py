"""What a run that has ended says of its checks and of itself."""

from dataclasses import replace

from cowrie_pipeline.steps.alerts.model import Failure, Kind, Moment, Recovery
from cowrie_pipeline.steps.alerts.runs import Evaluation, FailedStep, RunEnd, findings_of_run
from cowrie_pipeline.steps.checks import Severity, all_checks
from cowrie_pipeline_tests.steps.alerts.made import at, days
from cowrie_pipeline_tests.steps.alerts.test_rules import Memory

RUN = RunEnd(run_id="r1", job="daily", days=days(0, 4), succeeded=True, ended_at=at(5))


def evaluation(minutes: float = 1, *, passed: bool = False, check: str = "session_counts") -> Evaluation:
    return Evaluation(
        asset="raw_sessions",
        check=check,
        passed=passed,
        severity=Severity.ERROR,
        at=at(minutes),
        rows_at_fault=1234,
        columns=("day",),
        rows=(("2026-10-01",),),
    )


def broken(step: str = "raw_sessions", *, minutes: float = 5, run_id: str = "r1") -> RunEnd:
    return replace(
        RUN,
        run_id=run_id,
        succeeded=False,
        ended_at=at(minutes),
        failed_steps=(FailedStep(step, "OperationalError", at(minutes)),),
        unfinished=("raw_sessions", "ip_inventory"),
        assets_of={"raw_sessions": ["raw_sessions"], "ip_inventory": ["ip_inventory"]},
    )


def test_a_failed_check_says_what_should_be_so_and_what_to_do() -> None:
    failure, *_ = findings_of_run(replace(RUN, evaluations=(evaluation(),)))
    assert isinstance(failure, Failure)
    (check,) = [each for each in all_checks() if each.name == "session_counts"]
    assert failure.trouble.title == "check session_counts of raw_sessions failed"
    assert failure.trouble.remedy == check.remedy
    assert dict(failure.trouble.facts) == {
        "should be so": check.title,
        "rows_at_fault": "1,234",
        "more": "docs/checks/session_counts.md",
    }
    assert (failure.days, failure.trouble.run_id, failure.trouble.severity) == (days(0, 4), "r1", Severity.ERROR)


def test_a_check_that_is_not_of_days_is_over_whatever_days_it_passes_with() -> None:
    memory = Memory()
    foreign = replace(RUN, evaluations=(evaluation(check="foreign_files"),))
    assert memory.tell(*findings_of_run(foreign)) == [Moment.OPENED]
    assert ("found with days", "2026-10-01 to 2026-10-05") in memory.announced[0].incident.trouble.facts
    passes = replace(RUN, days=days(30), evaluations=(evaluation(9, passed=True, check="foreign_files"),))
    assert memory.tell(*findings_of_run(passes)) == [Moment.OVER]


def test_checks_that_look_at_all_rows_are_not_of_days() -> None:
    of_all = {check.name for check in all_checks() if not check.of_days}
    assert {"foreign_files", "damaged_files", "dead_letter_share", "line_accounting"} <= of_all
    assert not {"duplicate_sessions", "session_counts", "coverage_of_ip_inventory"} & of_all


def test_a_check_that_is_nobodys_of_ours_is_told_too() -> None:
    failure, *_ = findings_of_run(replace(RUN, evaluations=(evaluation(check="freshness"),)))
    assert isinstance(failure, Failure)
    assert failure.trouble.remedy


def test_of_a_check_that_ran_twice_the_last_counts() -> None:
    findings = findings_of_run(replace(RUN, evaluations=(evaluation(2, passed=True), evaluation(1))))
    assert [type(each) for each in findings if each.seen_at == at(2)] == [Recovery]
    assert not any(isinstance(each, Failure) for each in findings)


def test_a_run_that_a_check_stopped_is_told_as_the_check_alone() -> None:
    stopped = replace(RUN, succeeded=False, evaluations=(evaluation(),), a_check_stopped_it=True)
    (failure,) = findings_of_run(stopped)
    assert isinstance(failure, Failure)
    assert failure.trouble.kind is Kind.CHECK


def test_a_failed_run_says_where_and_with_which_kind_of_error() -> None:
    (failure,) = findings_of_run(broken())
    assert isinstance(failure, Failure)
    assert failure.fingerprint == "run:raw_sessions"
    assert failure.trouble.assets == ("raw_sessions",)
    assert dict(failure.trouble.facts)["error"] == "OperationalError"


def test_retries_and_repeated_runs_of_any_job_are_one_incident() -> None:
    memory = Memory()
    said = memory.tell(*findings_of_run(broken()))
    said += memory.tell(*findings_of_run(broken(minutes=7, run_id="r2")))
    said += memory.tell(*findings_of_run(replace(broken(minutes=9, run_id="r3"), job="__ASSET_JOB")))
    assert said == [Moment.OPENED]
    well = replace(RUN, job="by_hand", ended_at=at(11), succeeded_steps=("raw_sessions",))
    assert memory.tell(*findings_of_run(replace(well, days=days(0, 3)))) == []
    assert memory.tell(*findings_of_run(replace(well, days=days(4)))) == [Moment.OVER]


def test_a_run_whose_process_was_killed_is_over_when_all_it_left_is_made() -> None:
    memory = Memory()
    killed = replace(broken(), failed_steps=())
    assert memory.tell(*findings_of_run(killed)) == [Moment.OPENED]
    assert "ended before raw_sessions did" in memory.announced[0].incident.trouble.title
    well = replace(RUN, ended_at=at(11))
    assert memory.tell(*findings_of_run(replace(well, succeeded_steps=("raw_sessions",)))) == []
    assert memory.tell(*findings_of_run(replace(well, succeeded_steps=("ip_inventory",)))) == [Moment.OVER]


def test_a_run_that_never_began_is_over_when_its_job_succeeds() -> None:
    memory = Memory()
    never = replace(RUN, succeeded=False)
    assert memory.tell(*findings_of_run(never)) == [Moment.OPENED]
    assert memory.tell(*findings_of_run(replace(RUN, ended_at=at(9)))) == [Moment.OVER]


def test_steps_within_a_graph_are_the_graph() -> None:
    (failure,) = findings_of_run(broken("ip_inventory.resolve[3]"))
    assert failure.fingerprint == "run:ip_inventory"  # type: ignore[union-attr]
    assert failure.scopes == ("step:ip_inventory",)  # type: ignore[union-attr]
