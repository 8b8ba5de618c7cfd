"""Where things stand in the repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The folders and files of a Slipway checkout, from its root.

    `taken` is a folder with the Compose files of another release, in place of the checkout's.
    """

    root: Path
    taken: Path | None = None

    @property
    def compose(self) -> Path:
        """The folder of the Compose files that all environments share."""
        return self.taken or self.root / "infra" / "compose"

    @property
    def environments(self) -> Path:
        """The folder with one overlay file per environment."""
        return self.root / "infra" / "compose" / "environments"

    @property
    def samples(self) -> Path:
        """The documents and questions that a release is proved with."""
        return self.root / "samples"

    @property
    def local(self) -> Path:
        """What Slipway leaves for this checkout's user: certificates, passwords, build logs."""
        return self.root / ".slipway"

    def overlay(self, environment: str) -> Path:
        """The overlay file of an environment."""
        return self.environments / f"{environment}.yaml"

    def hooks(self, environment: str) -> Path:
        """The folder with the hooks of an environment, which need not be there."""
        return self.environments / f"{environment}.hooks"

    def stack_files(self, environment: str) -> tuple[Path, ...]:
        """The Compose files of an environment, in the order in which they are merged."""
        return (
            self.compose / "platform.yaml",
            self.compose / "app.yaml",
            self.overlay(environment),
        )

    def shown(self, path: Path) -> str:
        """`path` as a person in the checkout would type it."""
        try:
            return str(path.relative_to(self.root))
        except ValueError:
            return str(path)


def checkout() -> Layout:
    """The checkout that this toolkit was installed from."""
    return Layout(Path(__file__).resolve().parents[3])
