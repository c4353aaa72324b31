"""Network files: whole, exact, and refused where they are not network files."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path

import pytest
import torch

from beatlens.compression.kernel_codebook import Coded
from beatlens.compression.low_bit import LowBit
from beatlens.compression.permuted_blocks import PermutedBlocks
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.quantized_files import QUANTIZED_FORMAT, load_quantized, save_quantized
from beatlens.compression.size import int8_weights
from beatlens.compression.unify import Projection
from beatlens.errors import BeatlensError, ModelError
from beatlens.nets.constraint import (
    HOMES,
    KINDS,
    Constraint,
    Mask,
    find_constraints,
    impose,
    trained_tensor,
)
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import FORMAT, load_net, save_net

from .networks import CLASSES, SMALL, lively


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


def compiled(net: EvidenceNet) -> torch.nn.Module:
    return torch.compile(net, backend="eager")


def compiled_in_part(net: EvidenceNet) -> torch.nn.Module:
    net.backbone[1] = torch.compile(net.backbone[1], backend="eager")
    return net


def parallel(net: EvidenceNet) -> torch.nn.Module:
    return torch.nn.DataParallel(net)


def compiled_and_parallel(net: EvidenceNet) -> torch.nn.Module:
    return torch.nn.DataParallel(torch.compile(net, backend="eager"))


@pytest.mark.parametrize("wrap", [compiled, compiled_in_part, parallel, compiled_and_parallel])
@torch.no_grad()
def test_a_wrapped_network_is_saved_as_what_it_wraps(wrap, tmp_path: Path) -> None:
    net = lively(SMALL["dense"], classes=("a", "b")).eval()
    impose(net.backbone[1].conv, Mask(torch.rand(net.backbone[1].conv.weight.shape) > 0.5))
    x = torch.randn(2, 1, net.geometry.input_length(9))
    wanted = net(x)
    save_net(tmp_path / "net.pt", wrap(net), SMALL["dense"])
    again, _ = load_net(tmp_path / "net.pt")
    assert torch.equal(again(x), wanted)
    assert set(find_constraints(again)) == {"backbone.1.conv:weight"}


def test_a_file_with_the_names_of_a_compiled_network_is_read(tmp_path: Path) -> None:
    net = lively(SMALL["dense"])
    save_net(tmp_path / "net.pt", net, SMALL["dense"])
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    state["weights"] = {f"_orig_mod.{name}": w for name, w in state["weights"].items()}
    torch.save(state, tmp_path / "net.pt")
    again, _ = load_net(tmp_path / "net.pt")
    assert torch.equal(again.head.weight, net.head.weight)


def test_what_is_no_evidence_network_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a Linear, expected an EvidenceNet"):
        save_net(tmp_path / "net.pt", torch.nn.Linear(2, 2), SMALL["dense"])
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pt"
    save_net(path, lively(SMALL["dense"]), SMALL["dense"])
    before = path.read_bytes()

    def half(_state: object, part: BytesIO) -> None:
        part.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space"):
        save_net(path, lively(SMALL["dense"], seed=1), SMALL["dense"])
    assert path.read_bytes() == before


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
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


def held_by(kind: str, weight: torch.Tensor) -> Constraint:
    """A constraint of each kind there is."""
    if kind == "mask":
        return Mask((torch.rand_like(weight) < 0.5).float())
    if kind == "low-bit":
        return LowBit.fitted(weight, 4, (torch.rand_like(weight) < 0.8).float())
    if kind == "kernel-codebook":
        return Coded.fitted(weight, 5, (1, weight.shape[2]))
    if kind == "permuted-blocks":
        return PermutedBlocks(torch.randperm(len(weight)), torch.randperm(weight.shape[1]), 2)
    projection = Projection({"a": weight}, (4, 1))
    return projection({"a": weight.detach()}, shared=9, zero=9)["a"]


KINDS_OF_CONSTRAINTS = ("mask", "low-bit", "kernel-codebook", "permuted-blocks", "unified")


def constrained(kind: str) -> EvidenceNet:
    torch.manual_seed(1)
    net = lively(SMALL["dense"])
    impose(net.backbone[1].conv, held_by(kind, net.backbone[1].conv.weight))
    with torch.no_grad():  # as after a training: what is behind is not what is in use
        trained_tensor(net.backbone[1].conv).add_(torch.randn_like(net.backbone[1].conv.weight))
    return net


def test_every_kind_of_constraint_is_tried_here() -> None:
    for module in HOMES.values():
        import_module(module)
    assert set(KINDS_OF_CONSTRAINTS) == set(KINDS)
    assert set(HOMES) == set(KINDS) - {"mask"}


@pytest.mark.parametrize("kind", KINDS_OF_CONSTRAINTS)
@torch.no_grad()
def test_constraints_come_back_with_the_network(kind: str, tmp_path: Path) -> None:
    net = constrained(kind)
    save_net(tmp_path / "net.pt", net, SMALL["dense"])
    again, _ = load_net(tmp_path / "net.pt")
    assert [(w, c.kind) for w, c in find_constraints(again).items()] == [
        ("backbone.1.conv:weight", kind)
    ]
    assert again.state_dict().keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    x = torch.randn(2, 1, net.geometry.input_length(9))
    assert torch.equal(again(x), net(x))
    assert not any(c.training for c in find_constraints(again).values())


@pytest.mark.parametrize("kind", KINDS_OF_CONSTRAINTS)
@torch.no_grad()
def test_constraints_come_back_with_the_quantised_network(kind: str, tmp_path: Path) -> None:
    net = constrained(kind)
    quantized = QuantizedEvidenceNet(net).eval()
    x = torch.randn(2, 1, net.geometry.input_length(9))
    quantized.calibrate([x])
    trained_tensor(quantized.backbone[1], "float_weight").mul_(1.1).add_(0.01)
    save_quantized(tmp_path / "q.pt", quantized)
    # The file's constraints count, not those of the student it is built from.
    for student in (net, lively(SMALL["dense"])):
        again = load_quantized(tmp_path / "q.pt", student)
        for name, tensor in quantized.state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor), name
        for name, tensor in int8_weights(quantized).items():
            assert (int8_weights(again)[name] == tensor).all(), name
        assert torch.equal(again(x), quantized(x))


def test_the_kinds_are_found_by_a_fresh_interpreter(tmp_path: Path) -> None:
    save_net(tmp_path / "net.pt", constrained("unified"), SMALL["dense"])
    program = (
        "import sys; from pathlib import Path; from beatlens.nets.files import load_net; "
        "assert 'beatlens.compression.unify' not in sys.modules; "
        "print(load_net(Path(sys.argv[1]))[0].backbone[1].conv.parametrizations.weight[0].kind)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "net.pt")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "unified"


def test_files_without_constraints_are_read_as_before(tmp_path: Path) -> None:
    path, net = tmp_path / "net.pt", lively(SMALL["dense"])
    save_net(path, net, SMALL["dense"])
    state = torch.load(path, weights_only=True)
    assert state.pop("constraints") == {}
    torch.save(state, path)
    again, _ = load_net(path)
    assert all(torch.equal(again.state_dict()[n], t) for n, t in net.state_dict().items())
    quantized = QuantizedEvidenceNet(net)
    torch.save({"format": QUANTIZED_FORMAT, "weights": quantized.state_dict()}, path)
    found = load_quantized(path, net).state_dict()
    assert all(torch.equal(found[n], t) for n, t in quantized.state_dict().items())


def unknown_constraint(entry: dict) -> None:
    entry["kind"] = "magic"


def kindless(entry: dict) -> None:
    del entry["kind"]


def without_a_mask(entry: dict) -> None:
    entry["state"] = {}


def of_another_shape(entry: dict) -> None:
    entry["state"]["mask"] = torch.ones(3, 3, 3)


def no_tensors(entry: dict) -> None:
    entry["state"] = [7]


@pytest.mark.parametrize(
    "bend", [unknown_constraint, kindless, without_a_mask, of_another_shape, no_tensors]
)
def test_bent_constraints_are_refused(bend, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    net = constrained("mask")
    save_net(path, net, SMALL["dense"])
    save_quantized(tmp_path / "q.pt", QuantizedEvidenceNet(net))
    for file, load in ((path, load_net), (tmp_path / "q.pt", lambda p: load_quantized(p, net))):
        state = torch.load(file, weights_only=True)
        for entry in state["constraints"].values():
            bend(entry)
        torch.save(state, file)
        with pytest.raises(ModelError):
            load(file)
        state["constraints"] = [1]
        torch.save(state, file)
        with pytest.raises(ModelError):
            load(file)
