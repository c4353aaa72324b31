"""Network files: whole, exact, and refused where they are not network files."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from beatlens.errors import BeatlensError, ModelError
from beatlens.nets.files import FORMAT, load_net, save_net
from beatlens.tasks.strips import CLASSES

from .networks import SMALL, lively


@pytest.mark.parametrize("kind", SMALL)
@torch.no_grad()
def test_a_network_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    net = lively(SMALL[kind], classes=("a", "b")).train()
    save_net(tmp_path / "net.pt", net, SMALL[kind])
    again, spec = load_net(tmp_path / "net.pt")
    assert spec == SMALL[kind]
    assert again.classes == ("a", "b")
    assert not again.training
    x = torch.randn(2, 1, net.geometry.input_length(9))
    assert torch.equal(again(x), net.eval()(x))
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pt"
    save_net(path, lively(SMALL["dense"]), SMALL["dense"])
    before = path.read_bytes()

    def half(_state: object, part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space"):
        save_net(path, lively(SMALL["dense"], seed=1), SMALL["dense"])
    assert path.read_bytes() == before


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"net\.pt: cannot be read .*train it first"):
        load_net(tmp_path / "net.pt")


class Trap:
    """Runs code when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_hostile_file_runs_nothing(tmp_path: Path) -> None:
    path, touched = tmp_path / "net.pt", tmp_path / "touched"
    torch.save({"format": FORMAT, "spec": Trap(touched)}, path)
    with pytest.raises(ModelError, match="not a network file"):
        load_net(path)
    path.write_bytes(pickle.dumps(Trap(touched), protocol=2))
    with pytest.raises(ModelError, match="not a network file"):
        load_net(path)
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello\n", b"\x80\x02.", bytes(1000)])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.pt"):
        load_net(path)


def test_a_truncated_or_bent_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    save_net(path, lively(SMALL["dense"]), SMALL["dense"])
    whole = path.read_bytes()
    for size in (10, 100, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match=r"net\.pt"):
            load_net(path)


def other_format(state: dict) -> None:
    state["format"] = "beatlens-network-2"


def no_weights(state: dict) -> None:
    del state["weights"]


def weights_of_another_network(state: dict) -> None:
    state["weights"] = lively(SMALL["residual"]).state_dict()


def another_specification(state: dict) -> None:
    state["spec"]["channels"] = [4, 6, 9]


def unknown_kind(state: dict) -> None:
    state["spec"]["kind"] = "wide"


def no_specification(state: dict) -> None:
    state["spec"] = 7


@pytest.mark.parametrize(
    "bend",
    [
        other_format,
        no_weights,
        weights_of_another_network,
        another_specification,
        unknown_kind,
        no_specification,
    ],
)
def test_files_with_other_content_are_refused(bend, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    save_net(path, lively(SMALL["dense"]), SMALL["dense"])
    state = torch.load(path, weights_only=True)
    bend(state)
    torch.save(state, path)
    with pytest.raises(BeatlensError):
        load_net(path)
    torch.save([1, 2], path)
    with pytest.raises(ModelError, match="format is 'list'"):
        load_net(path)


def test_classes_are_the_networks_own(tmp_path: Path) -> None:
    save_net(tmp_path / "net.pt", lively(SMALL["dense"]), SMALL["dense"])
    assert load_net(tmp_path / "net.pt")[0].classes == CLASSES
