-- title: What one batch read and asked, added to the day's statistics of a service
INSERT INTO enrichment_cache_stats (service, day, hits, misses, stores, calls, failures, latency_ms)
VALUES (:service, :day, :hits, :misses, :stores, :calls, :failures, :latency_ms)
ON CONFLICT (service, day) DO UPDATE SET
    hits = enrichment_cache_stats.hits + excluded.hits,
    misses = enrichment_cache_stats.misses + excluded.misses,
    stores = enrichment_cache_stats.stores + excluded.stores,
    calls = enrichment_cache_stats.calls + excluded.calls,
    failures = enrichment_cache_stats.failures + excluded.failures,
    latency_ms = enrichment_cache_stats.latency_ms + excluded.latency_ms
