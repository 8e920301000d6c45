"""Starts what dockerfile.py has built as an engine does that was told --read-only,
--cap-drop ALL and no-new-privileges: start.py FOLDER. It needs root.

The program sees nothing but the image, read-only, and /proc; it runs as the image's user,
with the image's environment, in a network of its own, so that the ports are those of the
image.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 120  # seconds for anything; nothing waits for them to pass

# In a mount namespace of its own. The caller's command line ends in that of the program.
INSIDE = """
[ -z "$own_network" ] || ip link set lo up
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
exec "$@"
"""


class Image:
    def __init__(self, folder):
        self.root = folder / "image"
        self.config = json.loads((folder / "config.json").read_text())
        self.uid, self.gid = self.config["User"].split(":")
        (self.root / "proc").mkdir(exist_ok=True)  # engines make it

    def command(self, args, network, own_network=""):
        """The command line that runs args in the image; network puts it into one."""
        inside = ["env", f"root={self.root}", f"own_network={own_network}", "sh", "-euc", INSIDE, "sh"]
        limits = ["setpriv", "--no-new-privs", "--clear-groups", "--inh-caps=-all"]
        variables = ["env", "-i", *(f"{name}={value}" for name, value in self.config["Env"].items())]
        enter = [shutil.which("unshare"), f"--root={self.root}", f"--setgid={self.gid}", f"--setuid={self.uid}"]
        return [*network, "unshare", "--mount", "--propagation", "private", *inside, *limits, *variables, *enter, *args]

    def start(self, log):
        args = self.config["Entrypoint"] + self.config["Cmd"]
        return subprocess.Popen(self.command(args, ["unshare", "--net"], "yes"), stdout=log, stderr=log)

    def run(self, pid, args):
        """Runs a command of the image in the network of a process."""
        return run(self.command(args, beside(pid)))


def beside(pid):
    return ["nsenter", "--net", f"--target={pid}"]


def run(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def want(ok, text):
    if not ok:
        raise SystemExit(text)


def wait_healthy(image, process):
    end = time.monotonic() + PATIENCE
    while True:
        want(process.poll() is None, f"it ended with {process.returncode}")
        health = image.run(process.pid, [*image.config["Healthcheck"]["Test"], "--ready"])
        if health.returncode == 0:
            return
        want(time.monotonic() < end, f"not ready: {health.stderr}")
        time.sleep(0.1)


def check_limits(image, pid):
    """What the kernel says of the process."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    want(set(status["Uid"].split()) == {image.uid} and set(status["Gid"].split()) == {image.gid}, f"uid {status['Uid']}")
    want(status["Groups"].strip() == "" and status["NoNewPrivs"] == "1", f"groups {status['Groups']}")
    want(int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, f"capabilities {status['CapPrm']}")
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    roots = [m for m in mounts if m[4] == "/"]
    want(roots and "ro" in roots[-1][5].split(","), f"root is not read-only: {roots}")


def check_clients(image, pid):
    """The bundle and a handshake, on the image's ports."""
    get = [*beside(pid), "curl", "-fsS", "--noproxy", "*", "--max-time", str(PATIENCE)]
    bundle = run([*get, "http://127.0.0.1:3000/socket.io/socket.io.js"])
    want(bundle.stdout == (image.root / "client/socket.io.js").read_text(), f"not the bundle: {bundle.stderr}")
    handshake = run([*get, "http://127.0.0.1:3000/socket.io/?EIO=4&transport=polling"])
    want(handshake.stdout.startswith('0{"sid":"'), f"no handshake: {handshake}")
    metrics = run([*get, "http://127.0.0.1:3001/metrics"])
    want("fanwire_build_info" in metrics.stdout, f"no metrics: {metrics.stderr}")


def check_health(image, pid):
    """The image's own check, and that it can fail."""
    good = image.run(pid, image.config["Healthcheck"]["Test"])
    want(good.returncode == 0, f"health: {good}")
    bad = image.run(pid, [*image.config["Healthcheck"]["Test"], "--admin.address=127.0.0.1:1"])
    want(bad.returncode == 1 and bad.stderr.count("\n") == 1, f"health without a node: {bad}")


def main():
    image = Image(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryFile("w+") as log:
        process = image.start(log)
        try:
            wait_healthy(image, process)
            version = image.run(process.pid, ["/fanwire", "version"]).stdout.strip()
            want("v0.0.0-image" in version and "0123456789abcdef"[:7] in version, f"version: {version}")
            check_limits(image, process.pid)
            check_clients(image, process.pid)
            check_health(image, process.pid)
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE)
            want(code == 0, f"SIGTERM: it ended with {code}")
        except BaseException:
            log.seek(0)
            print(log.read()[-5000:], file=sys.stderr)
            raise
        finally:
            process.kill()
            process.wait()
    print(f"{version}: healthy as {image.config['User']} on a read-only root, without capabilities; SIGTERM ends it with 0")


if __name__ == "__main__":
    main()
