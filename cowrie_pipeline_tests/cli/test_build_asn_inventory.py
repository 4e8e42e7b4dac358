"""The command `build-asn-inventory`, as a process and within this one."""

import json
from pathlib import Path

from sqlalchemy import insert

from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_inventory
from cowrie_pipeline_tests.cli.in_process import invoke_enrich
from cowrie_pipeline_tests.cli.processes import TIMEOUT, start_enrich
from cowrie_pipeline_tests.steps.made_days import NOW, rows


def fill(warehouse: Warehouse) -> None:
    """Put three addresses of two networks there, of which only the number is known; one document is malformed."""
    documents = {
        "8.8.8.8": (15169, {"maxmind": {"asn": 15169, "organization": "GOOGLE", "status": "hit"}}),
        "8.8.4.4": (15169, {"maxmind": "x"}),
        "1.1.1.1": (13335, {"cymru": {"org": "CLOUDFLARENET", "country": "US", "registry": "arin"}}),
    }
    with warehouse.begin() as connection:
        for asn in (13335, 15169):
            connection.execute(insert(asn_inventory).values(asn_number=asn, created_at=NOW, updated_at=NOW))
        for address, (asn, document) in documents.items():
            times = dict.fromkeys(("first_seen", "last_seen", "created_at"), NOW)
            connection.execute(
                insert(ip_inventory).values(ip_address=address, current_asn=asn, enrichment=document, **times)
            )


def test_a_process_builds_the_inventory_and_says_so_as_json(
    tmp_path: Path, warehouse: Warehouse, database_url: str
) -> None:
    fill(warehouse)
    process = start_enrich(tmp_path, "build-asn-inventory", "--batch-size", "1", "--json", "--db", database_url)
    out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (0, "")
    report = json.loads(out)
    assert (report["networks"], report["organizations"], report["recounted"], report["changed"]) == (2, 2, 2, True)
    assert report["malformed_named"] == [
        {"ip_address": "8.8.4.4", "asn_number": 15169, "found": "maxmind is a text", "addresses": 1}
    ]
    assert [(row["organization_name"], row["unique_ip_count"]) for row in rows(warehouse, asn_inventory)] == [
        ("CLOUDFLARENET", 1),
        ("GOOGLE", 2),
    ]


def test_a_dry_run_writes_nothing_and_again_changes_nothing(
    tmp_path: Path, warehouse: Warehouse, database_url: str
) -> None:
    fill(warehouse)
    before = rows(warehouse, asn_inventory)

    def run(*options: str) -> str:
        done = invoke_enrich(tmp_path, "build-asn-inventory", *options, "--db", database_url)
        assert done.code == 0, done.err
        return done.out

    dry = run("--dry-run")
    assert "0 would be created, 2 would be classified, 2 would be recounted" in dry
    assert "nothing is written" in dry
    assert rows(warehouse, asn_inventory) == before
    first = run()
    assert (
        "0 were created, 2 were classified, 2 were recounted; were filled: organization 2, country 1, registry 1"
        in first
    )
    assert "8.8.4.4" in first
    assert "maxmind is a text" in first
    assert "nothing to change" in run()


def test_wrong_use_and_a_missing_database_are_told_in_one_line(tmp_path: Path, database_url: str) -> None:
    assert invoke_enrich(tmp_path, "build-asn-inventory", "--batch-size", "0", "--db", database_url).code == 2
    missing = invoke_enrich(tmp_path, "build-asn-inventory", "--db", f"sqlite:///{tmp_path / 'none.db'}")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    assert "cowrie-pipeline run --logs PATH" in missing.err
