"""The command line of the edge: ``slipway-edge``."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from slipway_edge import connections, log, settings
from slipway_edge.agent import Agent, describe
from slipway_edge.door import EDGES, ROUTES, RULES, Door, nft
from slipway_edge.errors import EdgeError, Refused
from slipway_edge.nginx import Nginx
from slipway_edge.probe import Probe
from slipway_edge.server import serve
from slipway_edge.store import Store
from slipway_edge.unix import exchange

AGENT_SECONDS = 5.0
SWITCH_SECONDS = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 refused or failed, 2 not understood."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except EdgeError as error:
        print(f"edge: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway-edge", description=__doc__)
    run = Path(os.environ.get("EDGE_RUN_DIRECTORY", "/run/slipway-edge"))
    parser.set_defaults(run=run)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    switch = commands.add_parser("switch", help="make a generation the one that serves")
    switch.add_argument("generation", type=_generation, help="its number, as in backend-g42")
    switch.set_defaults(command=_generation_told, verb="switch")

    candidate = commands.add_parser(
        "candidate", help="let requests with a pass reach a generation that does not serve"
    )
    candidate.add_argument("generation", type=_generation, help="its number")
    candidate.set_defaults(command=_generation_told, verb="candidate")

    maintain = commands.add_parser("maintenance", help="show whether callers are turned away")
    maintain.set_defaults(command=_maintenance, on=None)
    states = maintain.add_subparsers(metavar="on|off")
    on = states.add_parser("on", help="answer callers 503; requests in flight finish")
    on.add_argument("--message", default="", help="what callers are told")
    on.set_defaults(on=True)
    states.add_parser("off", help="let callers in again").set_defaults(on=False, message="")

    drain = commands.add_parser("drain", help="close each connection with its next answer")
    drain.add_argument("state", nargs="?", choices=("on", "off"), default="on")
    drain.set_defaults(command=_drain)

    door = commands.add_parser("door", help="the router in front of two edges")
    door.add_argument("action", choices=("run", "switch", "status", "try"))
    door.add_argument("edge", nargs="?", choices=EDGES, help="who gets new connections")
    door.set_defaults(command=_door)

    status = commands.add_parser("status", help="what serves, and the requests in flight, as JSON")
    status.set_defaults(command=_status)

    health = commands.add_parser("health", help="exit 0 when NGINX answers")
    health.set_defaults(command=_health)

    agent = commands.add_parser("agent", help="run the agent (the container's entry point does)")
    agent.set_defaults(command=_agent)

    write = commands.add_parser("settings", help="show every setting, its value and its reason")
    write.add_argument("--write", type=Path, metavar="FOLDER", help="write NGINX's files instead")
    write.add_argument(
        "--templates", type=Path, default=Path("/etc/nginx/snippets/limits"), help=argparse.SUPPRESS
    )
    write.set_defaults(command=_settings)
    return parser


def _generation(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1_000_000_000):
        raise argparse.ArgumentTypeError(f"a generation is a number from 1 on, not {text!r}")
    return int(text)


def _generation_told(options: argparse.Namespace) -> int:
    status, answer = _ask_agent(
        options.run / "agent.sock", "POST", f"/{options.verb}/{options.generation}", SWITCH_SECONDS
    )
    print(json.dumps(answer))
    return 0 if status == 200 else 1


def _maintenance(options: argparse.Namespace) -> int:
    path = options.run / "agent.sock"
    if options.on is None:
        status, answer = _ask_agent(path, "GET", "/maintenance", AGENT_SECONDS)
    else:
        asked = {"on": options.on, "message": options.message}
        status, answer = _ask_agent(path, "PUT", "/maintenance", AGENT_SECONDS, asked)
    print(json.dumps(answer))
    return 0 if status == 200 else 1


def _drain(options: argparse.Namespace) -> int:
    on = options.state == "on"
    Nginx(options.run / "nginx.sock").put_drain(on=on)
    print(json.dumps({"draining": on, "connections": connections.held()}))
    return 0


def _door(options: argparse.Namespace) -> int:
    door = Door(Path(os.environ.get("DOOR_STATE_DIRECTORY", "/var/lib/slipway-door")))
    match options.action:
        case "run":
            return _run_door(door)
        case "switch":
            try:
                print(json.dumps(door.switch(options.edge or EDGES[0])))
            except Refused as refusal:
                print(json.dumps({"refused": str(refusal), **refusal.facts}))
                return 1
        case "status":
            print(json.dumps(door.status()))
        case "try":
            nft(RULES)
    return 0


def _run_door(door: Door) -> int:
    log.configure()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    door.prepare(ROUTES.read_text(encoding="ascii"))
    door.run(stopped)
    return 0


def _ask_agent(
    path: Path, method: str, target: str, timeout: float, body: object = None
) -> tuple[int, object]:
    deadline = time.monotonic() + AGENT_SECONDS
    while True:
        try:
            return exchange(path, method, target, body, timeout=timeout)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            # Nothing was sent yet, and a dead agent is started again within a second or two.
            if time.monotonic() > deadline:
                reason = f"the edge's agent is not running ({error})"
                return 503, {"refused": f"{reason}; look at the edge's log"}
            time.sleep(0.1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = f"the edge's agent broke off ({str(error) or type(error).__name__})"
            return 502, {"refused": f"{reason}; look at: slipway-edge status"}


def _status(options: argparse.Namespace) -> int:
    try:
        status, answer = exchange(options.run / "agent.sock", "GET", "/status")
    except (OSError, http.client.HTTPException, ValueError) as error:
        nginx = Nginx(options.run / "nginx.sock")
        known = {**describe(nginx.serving(), ()), "figures": nginx.figures()}
        print(json.dumps({**known, "agent": {"running": False, "error": str(error)}}))
        return 0
    print(json.dumps(answer))
    return 0 if status == 200 else 1


def _health(options: argparse.Namespace) -> int:
    if Nginx(options.run / "nginx.sock").answers():
        return 0
    raise EdgeError(f"NGINX does not answer on {options.run / 'nginx.sock'}; look at its log")


def _settings(options: argparse.Namespace) -> int:
    values = settings.read(os.environ)
    if options.write:
        settings.write(values, options.templates, options.write)
        return 0
    for setting in settings.SETTINGS:
        print(f"{setting.name}={values[setting.name]}  {setting.why}")
    return 0


def _agent(options: argparse.Namespace) -> int:
    log.configure()
    state = Path(os.environ.get("EDGE_STATE_DIRECTORY", "/var/lib/slipway-edge"))
    agent = Agent(
        Nginx(options.run / "nginx.sock"),
        Store(state / "peers.json"),
        Probe(),
        os.environ.get("BACKEND_ALIAS_PREFIX", "backend-g"),
        int(os.environ.get("BACKEND_PORT", "8000")),
        state / "maintenance.json",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    with serve(agent, options.run / "agent.sock") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        agent.run()
        server.shutdown()
    return 0
