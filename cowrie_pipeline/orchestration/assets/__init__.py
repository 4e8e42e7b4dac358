"""The assets: thin shells around steps/."""

from cowrie_pipeline.orchestration.assets.asn_session_counts import build_asn_session_counts
from cowrie_pipeline.orchestration.assets.inventories import build_inventories
from cowrie_pipeline.orchestration.assets.raw_sessions import build_raw_sessions
from cowrie_pipeline.orchestration.assets.session_snapshots import build_session_snapshots

__all__ = ["build_asn_session_counts", "build_inventories", "build_raw_sessions", "build_session_snapshots"]
