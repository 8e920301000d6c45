"""Checks what dockerfile.py has built: check.py FOLDER ARCHITECTURE MOST_MB"""

import json
import os
import re
import stat
import struct
import sys
from pathlib import Path

MACHINES = {"amd64": 62, "arm64": 183}  # e_machine of ELF
PT_DYNAMIC, PT_INTERP = 2, 3
LABELS = ["title", "description", "url", "source", "documentation", "vendor", "licenses", "version", "revision", "created"]


def elf(path):
    """The machine and the kinds of segments of a 64-bit little-endian program."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise SystemExit(f"{path}: not an ELF program")
    (machine,) = struct.unpack_from("<H", data, 18)
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return machine, {struct.unpack_from("<I", data, offset + i * size)[0] for i in range(count)}


def main():
    folder, arch, most = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    config, root = json.loads((folder / "config.json").read_text()), folder / "image"
    wrong = []

    def want(ok, text):
        if not ok:
            wrong.append(text)

    for program in config["Entrypoint"] + [f"/{p.name}" for p in root.iterdir() if os.access(p, os.X_OK) and p.is_file()]:
        machine, segments = elf(root / program.lstrip("/"))
        want(machine == MACHINES[arch], f"{program} is for machine {machine}")
        want(not segments & {PT_DYNAMIC, PT_INTERP}, f"{program} is not static")

    want(config.get("User") == "65532:65532", f"user {config.get('User')}: runAsNonRoot needs a number")
    want(config.get("StopSignal") == "SIGTERM", f"stop signal {config.get('StopSignal')}")
    want(config["ExposedPorts"] == ["3000", "3001", "3002"], f"ports {config['ExposedPorts']}")
    want(config["Healthcheck"]["Test"] == ["/fanwire", "health"], f"health check {config['Healthcheck']}")
    want(set(config["Healthcheck"]) >= {"interval", "timeout", "retries"}, f"health check {config['Healthcheck']}")
    for label in LABELS:
        want(config["Labels"].get(f"org.opencontainers.image.{label}"), f"label {label} is missing")
    want(config["Env"].get("FANWIRE_ADMIN_ADDRESS") == ":3001", f"environment {config['Env']}")

    size = 0
    for path in [root, *root.rglob("*")]:
        info, name = path.lstat(), path.relative_to(root)
        size += info.st_size if path.is_file() else 0
        want(not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH), f"{name} can be written by others than its owner")
        readable = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
        want(info.st_mode & readable == readable, f"{name} cannot be read by everybody")
    want((root / "client/socket.io.min.js").is_file(), "no bundle")
    want(b"BEGIN CERTIFICATE" in (root / "etc/ssl/certs/ca-certificates.crt").read_bytes(), "no authorities")
    want((root / "licenses/LICENSE").is_file() and (root / "licenses/socket.io/LICENSE").is_file(), "no licences")
    size /= 1e6
    want(size <= most, f"{size:.1f} MB, and docs/deploy.md says at most {most}")
    if wrong:
        raise SystemExit("\n".join(wrong))
    programs = ", ".join(f"{p.name} {p.stat().st_size / 1e6:.1f}" for p in root.iterdir() if p.is_file())
    print(f"{arch}: {size:.1f} MB ({programs}), {sum(p.is_file() for p in (root / 'licenses').rglob('*'))} files of licences, static, nothing writable")


if __name__ == "__main__":
    main()
