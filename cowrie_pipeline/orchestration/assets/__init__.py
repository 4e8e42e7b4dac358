"""The assets: thin shells around steps/."""

from cowrie_pipeline.orchestration.assets.asn_session_counts import build_asn_session_counts
from cowrie_pipeline.orchestration.assets.attack_reports import build_attack_report, build_attack_report_30_days
from cowrie_pipeline.orchestration.assets.downloaded_lists import build_downloaded_lists
from cowrie_pipeline.orchestration.assets.file_reputation import build_file_reputation
from cowrie_pipeline.orchestration.assets.inventories import build_inventories
from cowrie_pipeline.orchestration.assets.password_exposure import build_password_exposure
from cowrie_pipeline.orchestration.assets.raw_sessions import build_raw_sessions
from cowrie_pipeline.orchestration.assets.reconciled_inventories import build_reconciled_inventories
from cowrie_pipeline.orchestration.assets.session_snapshots import build_session_snapshots
from cowrie_pipeline.orchestration.assets.stale_enrichment import build_stale_enrichment

__all__ = [
    "build_asn_session_counts",
    "build_attack_report",
    "build_attack_report_30_days",
    "build_downloaded_lists",
    "build_file_reputation",
    "build_inventories",
    "build_password_exposure",
    "build_raw_sessions",
    "build_reconciled_inventories",
    "build_session_snapshots",
    "build_stale_enrichment",
]
