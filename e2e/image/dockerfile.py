"""Builds an image's files without a container engine, from the Dockerfile itself.

Each stage is a folder. COPY copies what .dockerignore leaves, and RUN runs the very command
of the Dockerfile in the folder of its WORKDIR, with this machine in place of the base
image. So commands must name what they make by paths relative to it. Caches are those of
the user. What it does not know is an error: there is nothing that it passes over.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


class Problem(Exception):
    """Something in the Dockerfile that cannot be done here."""


def instructions(text):
    """The instructions with their texts, continued lines joined."""
    joined, found = "", []
    for line in text.splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        if line.endswith("\\"):
            joined += line[:-1]
            continue
        name, _, rest = (joined + line).strip().partition(" ")
        found.append((name.upper(), rest.strip()))
        joined = ""
    if joined:
        raise Problem("the last line is continued")
    return found


def expand(text, values):
    """Variables in a text; one that is not known is empty."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: values.get(m[1] or m[2], ""), text)


def take_flags(text):
    """The leading --name=value of an instruction, as a list, and the rest."""
    flags = []
    while m := re.match(r"--([\w-]+)=(\S+)\s+", text):
        flags.append((m[1], m[2]))
        text = text[m.end() :]
    return flags, text


class Ignore:
    """.dockerignore: the last pattern that fits a path or a folder it is in counts."""

    def __init__(self, path):
        self.rules = []
        for line in path.read_text().splitlines() if path.exists() else []:
            line = line.strip()
            if line and not line.startswith("#"):
                self.rules.append((re.compile(self.regex(line.lstrip("!").strip("/"))), not line.startswith("!")))

    @staticmethod
    def regex(pattern):
        out = ""
        for part in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern):
            out += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
        return out

    def __call__(self, path):
        parts = path.split("/")
        ignored = False
        for regex, ignores in self.rules:
            if any(regex.fullmatch("/".join(parts[: i + 1])) for i in range(len(parts))):
                ignored = ignores
        return ignored


class Stage:
    def __init__(self, root):
        self.root, self.dir, self.args, self.env = root, "/", {}, {}
        self.config = {"Labels": {}, "ExposedPorts": [], "Env": self.env}
        root.mkdir(parents=True)

    def path(self, inside):
        return self.root / os.path.normpath(os.path.join(self.dir, inside)).lstrip("/")

    def values(self):
        return self.args | self.env


class Builder:
    """Builds all stages; the last one is the image."""

    def __init__(self, context, out, args, same):
        self.context, self.out, self.args, self.same = Path(context), Path(out), args, same
        self.ignore = Ignore(self.context / ".dockerignore")
        self.stages, self.globals, self.stage = {}, {}, None

    def build(self):
        todo = instructions((self.context / "Dockerfile").read_text())
        starts = [i for i, (name, _) in enumerate(todo) if name == "FROM"] + [len(todo)]
        self.do(todo[: starts[0]])
        for begin, end in zip(starts, starts[1:]):
            self.build_stage(todo[begin:end])
        return self.stage

    def build_stage(self, todo):
        """A stage that knows nothing of the target is built once, as engines do."""
        text = str(todo)
        if text in self.same:
            name, self.stage = self.same[text]
            self.stages[name] = self.stage
            return
        self.do(todo)
        if "TARGET" not in text and self.stage.base:
            self.same[text] = next((n, s) for n, s in self.stages.items() if s is self.stage)

    def do(self, todo):
        for name, text in todo:
            do = getattr(self, "do_" + name.lower(), None)
            if do is None or (self.stage is None and name not in ("ARG", "FROM")):
                raise Problem(f"{name}: not known here")
            do(text)

    def do_arg(self, text):
        name, _, default = text.partition("=")
        scope = self.globals if self.stage is None else self.stage.args
        scope[name] = self.args.get(name, self.globals.get(name, default))

    def do_from(self, text):
        _, text = take_flags(text)
        m = re.fullmatch(r"(\S+)(?:\s+[Aa][Ss]\s+(\S+))?", text)
        name = m[2] or "image"
        if expand(m[1], self.globals) == "":
            raise Problem(f"FROM {text}: no base image")
        self.base = m[1] != "scratch"
        self.stage = self.stages[name] = Stage(self.out / name)
        self.stage.base = self.base

    def do_workdir(self, text):
        self.stage.dir = os.path.join(self.stage.dir, expand(text, self.stage.values()))
        self.stage.path(".").mkdir(parents=True, exist_ok=True)

    def do_copy(self, text):
        flags, text = take_flags(text)
        flags = dict(flags)
        *sources, to = shlex.split(expand(text, self.stage.values()))
        from_stage = flags.pop("from", None)
        if flags:
            raise Problem(f"COPY {text}: flags {flags}")
        target = self.stage.path(to)
        for source in sources:
            if from_stage:
                where, keep = self.find(self.stages[from_stage], source), lambda _: True
            else:
                where, keep = self.context / source, lambda p: not self.ignore(str(p.relative_to(self.context)))
            self.copy(where, target, to.endswith("/") or len(sources) > 1, keep)

    def find(self, stage, source):
        """A path of another stage. What it did not make comes from its base image."""
        made = stage.path(source)
        return made if made.exists() or not stage.base else Path(source)

    def copy(self, source, target, into, keep):
        if source.is_dir():
            files = [f for f in sorted(source.rglob("*")) if f.is_file() and ".git" not in f.parts and keep(f)]
            pairs = [(f, target / f.relative_to(source)) for f in files]
        else:
            pairs = [(source, target / source.name if into else target)] if source.is_file() and keep(source) else []
        if not pairs:
            raise Problem(f"COPY {source}: nothing there, or all of it ignored")
        for file, to in pairs:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)

    def do_run(self, text):
        flags, command = take_flags(text)
        if not self.stage.base or any(kind != "mount" or not value.startswith("type=cache,") for kind, value in flags):
            raise Problem(f"RUN {text}: only caches can be mounted, and a base image is needed")
        if absolute := re.search(r"(?:^|[\s=])(/\w\S*)", command):
            raise Problem(f"RUN names {absolute[1]}: that is a folder of this machine here")
        print(f"+ {' '.join(command.split())}", flush=True)
        subprocess.run(["sh", "-c", command], cwd=self.stage.path("."), env=os.environ | self.stage.values(), check=True)

    def pairs(self, text):
        return [word.partition("=")[::2] for word in shlex.split(expand(text, self.stage.values()))]

    def do_env(self, text):
        self.stage.env.update(self.pairs(text))

    def do_label(self, text):
        self.stage.config["Labels"].update(self.pairs(text))

    def do_expose(self, text):
        self.stage.config["ExposedPorts"] += text.split()

    def do_user(self, text):
        self.stage.config["User"] = text

    def do_stopsignal(self, text):
        self.stage.config["StopSignal"] = text

    def do_entrypoint(self, text):
        self.stage.config["Entrypoint"] = json.loads(text)

    def do_cmd(self, text):
        self.stage.config["Cmd"] = json.loads(text)

    def do_healthcheck(self, text):
        flags, command = take_flags(text)
        self.stage.config["Healthcheck"] = dict(flags) | {"Test": json.loads(command.removeprefix("CMD"))}


def main():
    context, out, architectures, *args = sys.argv[1:]
    same = {}
    for arch in architectures.split(","):
        values = dict(a.split("=", 1) for a in args) | {"TARGETOS": "linux", "TARGETARCH": arch}
        try:
            stage = Builder(context, Path(out) / arch, values, same).build()
        except (Problem, subprocess.CalledProcessError) as e:
            sys.exit(f"Dockerfile: {arch}: {e}")
        (Path(out) / arch / "config.json").write_text(json.dumps(stage.config, indent=2))


if __name__ == "__main__":
    main()
