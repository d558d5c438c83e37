"""``make bench``: the short benchmarks in turn, each beside its reference; the long ones have their own ``make bench-…``."""

from __future__ import annotations

from tests.benchmarks import bench_dlt, bench_identity, bench_land, bench_pipeline

if __name__ == "__main__":
    bench_land.main(rounds=3)
    bench_dlt.main()
    bench_identity.main([])
    bench_pipeline.main(["50000"])
