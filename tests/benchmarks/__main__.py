"""``make bench``: every benchmark in turn, each beside its reference; the long sizes are options of the single modules."""

from __future__ import annotations

from tests.benchmarks import bench_identity, bench_land, bench_pipeline

if __name__ == "__main__":
    bench_land.main()
    bench_identity.main([])
    bench_pipeline.main(["50000"])
