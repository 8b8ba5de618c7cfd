"""The gates. A session asks one question about the tree and changes nothing outside it."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import docker
import nox
from docker.errors import DockerException
from nox.command import CommandFailed

from slipway.commands import uv
from slipway.gates import advisories
from slipway.gates.advisories import Outcome

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "security", "unit", "integration", "coverage"]

ROOT = Path(__file__).parent
CACHE = ROOT / ".nox"
MEASURED = CACHE / "measured"

#: Member -> the folder of its packages. Its tests are in tests/unit/<member>.
SOURCES = {
    "toolkit": "src",
    "backend": "services/backend/src",
    "backup": "services/backup/src",
    "monitoring": "services/monitoring/src",
    "edge": "infra/nginx/agent/src",
    "toolbox": "infra/toolbox/src",
    "postgres": "infra/postgres/src",
    "logs": "infra/logs/src",
}
#: Seconds for an interrupted test run to take its servers and containers down.
PATIENCE = 55
SIDE_BY_SIDE = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")
END_TO_END = ("pytest", "--timeout=0", "-m", "not exhaustive")
#: About half of the end-to-end tests' time, run beside the others; those that count every request
#: come last and have the machine for themselves.
BESIDE = (
    *("tests/e2e/backup/test_drills.py", "tests/e2e/backup/test_members.py"),
    *("tests/e2e/backup/test_restores.py", "tests/e2e/monitoring", "tests/e2e/stacks"),
)
ALONE = ("tests/e2e/edge", "tests/e2e/release")
OTHER = {"SLIPWAY_E2E_NAME": "e2ebeside", "SLIPWAY_E2E_PORTS": "20443,20080"}
MEMBERS = [nox.param(name, id=name, tags=[name]) for name in SOURCES]


def sync(session: nox.Session, lock: str, *members: str) -> None:
    """Install exactly what `lock` pins, and make `members` importable."""
    session.run_install(
        uv.binary(),
        *("pip", "sync", "--quiet", "--require-hashes", f"requirements/{lock}.txt"),
        env=uv.ENVIRONMENT,
        external=True,
    )
    (packages,) = Path(session.virtualenv.location).glob("lib/python*/site-packages")
    lines = [str(ROOT / SOURCES[member]) for member in members]
    (packages / "slipway-members.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def model(session: nox.Session, precision: str = "int8") -> str:
    """Return the folder of the built embedding model; built when its code or lock has changed."""
    code = sorted((ROOT / SOURCES["backend"] / "slipway_backend/embedding").glob("*.py"))
    files = [ROOT / "requirements/model.txt", *code]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
    built, unfinished = CACHE / f"model-{precision}-{digest}", CACHE / "model-unfinished"
    if not built.is_dir():
        shutil.rmtree(unfinished, ignore_errors=True)
        build = ("python", "-m", "slipway_backend.embedding.model", "--precision", precision)
        session.run(*build, str(unfinished))
        unfinished.rename(built)
    return str(built)


def measured_pytest(session: nox.Session, folder: str, *options: str, **env: str) -> None:
    """Run the tests in `folder` and keep what they covered, in place of the run before."""
    data = MEASURED / session.name
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    env["COVERAGE_FILE"] = str(data / "data")  # the name that `combine` looks for
    words = ("coverage", "run", "-m", "pytest", folder, *options, *session.posargs)
    session.run(*words, env=env, interrupt_timeout=PATIENCE)


@nox.session
def lint(session: nox.Session) -> None:
    """Hold every file to the linters of .pre-commit-config.yaml."""
    sync(session, "lint", "toolkit")
    env = {"PRE_COMMIT_HOME": str(CACHE / "pre-commit"), "RUFF_CACHE_DIR": str(CACHE / "ruff")}
    arguments = session.posargs or ["--all-files"]
    session.run("pre-commit", "run", *arguments, env=env)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of every member."""
    sync(session, "types", *SOURCES)
    session.run("mypy", *session.posargs)


@nox.session
def security(session: nox.Session) -> None:
    """Look for insecure code, secrets in the tree, and known faults in what is locked."""
    sync(session, "security")
    bandit = ("bandit", "--quiet", "--configfile=pyproject.toml", "--recursive")
    session.run(*bandit, *SOURCES.values(), silent=True)
    session.log("secret scan of every tracked file")
    tracked = session.run("git", "ls-files", external=True, silent=True, log=False)
    scan = ("detect-secrets-hook", "--no-verify", "--baseline=.secrets.baseline")
    session.run(*scan, *str(tracked).splitlines(), log=False)
    audit = advisories.audit(ROOT, Path(session.bin) / "pip-audit", os.environ)
    session.log(audit.text)
    if audit.fatal(os.environ):
        session.error(audit.headline)
    if audit.outcome is Outcome.NOT_RUN:
        session.skip(audit.headline)


@nox.session
@nox.parametrize("member", MEMBERS)
def unit(session: nox.Session, member: str) -> None:
    """Test one member, in an environment that holds that member's dependencies alone."""
    sync(session, f"{member}-test", member)
    env = {"SLIPWAY_MODEL_CACHE": model(session)} if member == "backend" else {}
    # Plans killed at every moment take minutes, each in a world of its own.
    options = SIDE_BY_SIDE if member == "toolkit" else ()
    folder = f"tests/unit/{'slipway' if member == 'toolkit' else member}"
    measured_pytest(session, folder, *options, **env)


@nox.session
def integration(session: nox.Session) -> None:
    """Test the services in this process, on a real PostgreSQL in a folder."""
    sync(session, "integration", *SOURCES)
    env = {"SLIPWAY_MODEL_CACHE": model(session), "PYTHONPATH": str(ROOT / "tests")}
    measured_pytest(session, "tests/integration", *SIDE_BY_SIDE, **env)


@nox.session(requires=["unit", "integration"])
def coverage(session: nox.Session) -> None:
    """Combine what the tests covered; hold the whole and each member to the limit."""
    sync(session, "coverage")
    env = {"COVERAGE_FILE": str(MEASURED / "data")}
    sessions = [*(f"unit({member})" for member in SOURCES), "integration"]
    data = [str(MEASURED / name) for name in sessions]
    session.run("coverage", "combine", "--quiet", "--keep", *data, env=env)
    for member, source in SOURCES.items():
        # The backup service does what it does with tools that are in its image: session e2e.
        if member != "backup":
            session.run("coverage", "report", f"--include={source}/*", env=env)
    session.run("coverage", "report", "--format=total", env=env)


@nox.session(default=False)
def performance(session: nox.Session) -> None:
    """Measure: `-- backend [--quick]`, `release`, `monitoring`, `logs`, `instrumentation`."""
    if session.posargs[:1] in (["release"], ["monitoring"], ["logs"]):
        on_engine(session, f"performance.{session.posargs[0]}", *session.posargs)
        return
    if session.posargs == ["instrumentation"]:
        sync(session, "embedded", "toolkit", "backend")
        env = {"PYTHONPATH": str(ROOT / "tests")}
        session.run("python", "-m", "performance.instrumentation", env=env)
        return
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--torch", default="")
    options.add_argument("--precision", default="int8")
    chosen, arguments = options.parse_known_args(session.posargs)
    sync(session, "embedded", "toolkit", "backend")
    built = model(session, chosen.precision)
    env = {"SLIPWAY_MODEL_CACHE": built, "PYTHONPATH": str(ROOT / "tests")}
    script = ("python", "-m", "performance.backend", *arguments)
    peers = ("--peers", str(peers_python(session, chosen.torch)))
    session.run(*script, *peers, env=env, interrupt_timeout=PATIENCE)


def on_engine(session: nox.Session, module: str, *arguments: str) -> None:
    """Run a module that has an environment of its own on this host's Docker engine."""
    require_engine(session)
    sync(session, "toolkit-test", "toolkit")
    folders = ("tests", "tests/e2e", "tests/e2e/data", "tests/support")
    env = {
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in folders),
        "SLIPWAY_E2E_NAME": os.environ.get("SLIPWAY_E2E_NAME", "measured"),
        "SLIPWAY_E2E_PORTS": os.environ.get("SLIPWAY_E2E_PORTS", "19443,19080"),
    }
    session.run("python", "-m", module, *arguments, env=env, interrupt_timeout=PATIENCE)


def require_engine(session: nox.Session) -> None:
    """Say what to do where no Docker engine answers."""
    for name in ("docker", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        docker.from_env().ping()
    except DockerException as error:
        session.error(f"no Docker engine answers: {error}\nnext: .venv/bin/invoke host.prepare")


def peers_python(session: nox.Session, torch: str) -> Path:
    """Return the Python of the environment that the backend's peers have to themselves."""
    folder = CACHE / "peers"
    python = folder / "bin" / "python"
    pip = (uv.binary(), "pip")
    if not python.exists():
        session.run_install(uv.binary(), "venv", "--quiet", str(folder), external=True)
    session.run_install(
        *(*pip, "sync", "--quiet", f"--python={python}", "--require-hashes"),
        "requirements/peers.txt",
        env=uv.ENVIRONMENT,
        external=True,
    )
    if torch:
        # Beside the lock, whose rules keep torch out. Builds for processors alone are on no index
        # that every site has, hence an exact version, found where UV_FIND_LINKS says.
        session.run_install(
            *(*pip, "install", "--quiet", f"--python={python}", "--no-config"),
            *(f"torch=={torch}", "sentence-transformers"),
            env=uv.ENVIRONMENT,
            external=True,
        )
    return python


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Break what runs, part by part: `-- data [--rounds N] [--minutes M] [--only FAULT]`."""
    arguments = session.posargs or ["data"]
    on_engine(session, f"chaos.{arguments[0]}", *arguments)


@nox.session(default=False)
def exhaustive(session: nox.Session) -> None:
    """Try every case of what e2e tries one or some of: each step, each sabotage, each fault."""
    require_engine(session)
    sync(session, "toolkit-test", "toolkit")
    words = ("pytest", "--timeout=0", "-m", "exhaustive", *(session.posargs or ["tests/e2e"]))
    session.run(*words, interrupt_timeout=PATIENCE)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Speak nonsense to a real server as every role; every answer must be as its OpenAPI says."""
    sync(session, "integration", *SOURCES)
    env = {"SLIPWAY_MODEL_CACHE": model(session), "PYTHONPATH": str(ROOT / "tests")}
    script = ("python", "tests/security/fuzz.py", *session.posargs)
    session.run(*script, env=env, interrupt_timeout=PATIENCE)


@nox.session(default=False)
def llm(session: nox.Session) -> None:
    """Test answers and embeddings against a real llama.cpp server, compiled on the first run."""
    missing = [tool for tool in ("cc", "c++") if shutil.which(tool) is None]
    if missing:
        session.error(f"no compiler ({', '.join(missing)})\nnext: apt-get install build-essential")
    session.log("the first run compiles llama.cpp: about 15 minutes on two cores")
    sync(session, "llm-test", "backend")
    built = model(session)
    words = ("pytest", *(session.posargs or ["tests/llm"]))
    env = {"SLIPWAY_MODEL_CACHE": built, "PYTHONPATH": str(ROOT / "tests")}
    session.run(*words, env=env, interrupt_timeout=PATIENCE)


@nox.session(default=False)
def e2e(session: nox.Session) -> None:
    """Deploy dev on this host's Docker engine, prove it from outside, take it down."""
    require_engine(session)
    sync(session, "toolkit-test", "toolkit")
    measured = MEASURED / session.name
    shutil.rmtree(measured, ignore_errors=True)
    env = {"SLIPWAY_E2E_MEASURED": str(measured)}
    if session.posargs:
        session.run(*END_TO_END, *session.posargs, env=env, interrupt_timeout=PATIENCE)
        return
    files = [str(each.relative_to(ROOT)) for each in ROOT.glob("tests/e2e/*/test_*.py")]
    others = sorted(each for each in files if not each.startswith(BESIDE + ALONE))
    log = CACHE / "e2e-beside.log"
    session.log(f"{', '.join(BESIDE)}: beside the others, in {log.relative_to(ROOT)}")
    with ThreadPoolExecutor(1) as pool, log.open("w", encoding="utf-8") as output:
        beside = pool.submit(proved, session, *BESIDE, env=env | OTHER, output=output)
        held = [proved(session, *others, env=env | {"SLIPWAY_E2E_REPORT": "data"})]
        held.append(beside.result())
    session.log(log.read_text(encoding="utf-8"))
    held.append(proved(session, *ALONE, env=env))
    if not all(held):
        session.error("some end-to-end tests failed")
    # Of the one member whose tools are in its image alone: gates without an engine cannot run it.
    # What its units covered, where they were run here before, is of the same member.
    env = {"COVERAGE_FILE": str(measured / "data" / "data")}
    covered = (measured / "data", MEASURED / "unit(backup)")
    data = [str(folder) for folder in covered if folder.is_dir()]
    session.run("coverage", "combine", "--quiet", "--keep", *data, env=env)
    session.run("coverage", "report", f"--include={SOURCES['backup']}/*", env=env)


def proved(
    session: nox.Session, *folders: str, env: dict[str, str], output: IO[str] | None = None
) -> bool:
    """Run end-to-end tests; whether all of them passed."""
    try:
        session.run(
            *(*END_TO_END, *folders),
            env=env,
            stdout=output,
            stderr=output and subprocess.STDOUT,
            interrupt_timeout=PATIENCE,
        )
    except CommandFailed:
        return False
    return True
