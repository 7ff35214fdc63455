"""Writes deploy/golden anew: `make golden`."""
import manifests

if __name__ == "__main__":
    wanted = manifests.renderings()
    manifests.GOLDEN.mkdir(exist_ok=True)
    for path in manifests.GOLDEN.glob("*.yaml"):
        if path.stem not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (manifests.GOLDEN / f"{name}.yaml").write_text(text)
    print(f"{len(wanted)} golden files")
