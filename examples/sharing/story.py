"""The client of story.mjs: computes on lent weights. Orders come as lines on stdin, what happens goes to stdout."""
import sys

from vram_residency.share import Revoked, connect


def compute(lease):
    """A dot product, as an engine would do it, over the lent memory itself."""
    weights = lease["w"].buffer()
    return sum((1 + k % 7) * weight for k, weight in enumerate(weights))


def main(socket):
    lease = connect(socket, client="story").lend("weights")
    for order in map(str.strip, sys.stdin):
        if order == "lend":
            lease = connect(socket, client="story").lend("weights")
            print("lent", flush=True)
        elif order == "compute":
            print(f"computed {compute(lease)}", flush=True)
        elif order == "check":
            try:
                lease.check(max_age_ms=60_000)
                print("verified in the last minute", flush=True)
            except Revoked as error:
                print(f"Revoked: {error}", flush=True)
                lease.close()
    lease.close()


if __name__ == "__main__":
    main(sys.argv[1])
