"""A short alternating comparison of apps on SQLite, for use while changing something.

.venv/bin/python -m benchmarks.quick wsgi:app baseline:app --rounds 3 --seconds 4 --connections 16
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.load import migrate, server, write_deliveries, wrk


def main() -> None:
    """Prints the median rate of each app, and its ratio to the last one's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("apps", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {app: [] for app in options.apps}
    with tempfile.TemporaryDirectory() as folder:
        deliveries = Path(folder) / "deliveries"
        write_deliveries(deliveries, int(8000 * options.seconds))
        for round_ in range(options.rounds):
            for app in options.apps:
                url = f"sqlite:///{folder}/{app.partition(':')[0]}{round_}.db"
                migrate(url)
                with server(app, url, threads=options.threads) as running:
                    measured = wrk(running.url, deliveries, connections=options.connections, seconds=options.seconds)
                rates[app].append(measured.rate)
                print(f"{app:28} {measured.rate:8.0f}/s  p50 {measured.p50:6.2f}  p99 {measured.p99:6.2f} ms")
    reference = statistics.median(rates[options.apps[-1]])
    for app, values in rates.items():
        print(f"{app:28} median {statistics.median(values):8.0f}/s  ratio {statistics.median(values) / reference:.2f}")


if __name__ == "__main__":
    main()
