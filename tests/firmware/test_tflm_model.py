"""A model as C++ for TensorFlow Lite Micro: its bytes, its operators, its outputs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from beatlens.errors import ModelError
from beatlens.firmware import tflm_model
from beatlens.firmware.tflm_operators import ADD_METHODS
from beatlens.integer.tflite_read import output_position
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.bundle import Bundle

from ..integer.graphs import permuted_graph, random_graph
from ..runtime.conftest import make_bundle
from .compiled import run_c
from .tflm_programs import (
    CXX,
    DOUBLE,
    compiler,
    dumped,
    edited,
    with_outputs,
)


@pytest.fixture(scope="module", params=["dense", "residual"])
def bundle(request, tmp_path_factory) -> Bundle:
    return make_bundle(request.param, tmp_path_factory.mktemp("bundle") / request.param)


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Bundle:
    return make_bundle("dense", tmp_path_factory.mktemp("bundle") / "dense")


def test_model_data_is_the_file(bundle: Bundle, tmp_path: Path) -> None:
    written = tflm_model(bundle.tflite, tmp_path / "model", "net")
    names = [path.name for path in written]
    assert names == ["net_model_data.cc", "net_model_data.h", "net_resolver.h"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == names
    assert dumped(tmp_path / "model", "net") == bundle.tflite


@pytest.mark.parametrize("seed", range(6))
def test_the_resolver_has_exactly_the_operators(seed: int, tmp_path: Path) -> None:
    for number, graph in enumerate((random_graph(seed), permuted_graph(seed))):
        folder = tmp_path / str(number)
        tflm_model(write_tflite(graph), folder, "net")
        text = (folder / "net_resolver.h").read_text()
        added = re.findall(r"status = resolver\.(\w+)\(\);\n    if \(status != kTfLiteOk\)", text)
        assert sorted(added) == sorted(ADD_METHODS[kind] for kind in graph.operator_names)
        assert f"MicroMutableOpResolver<{len(added)}>" in text
        main = folder / "main.cc"
        main.write_text(
            '#include "net_resolver.h"\nint main()\n{\n    net_resolver all;\n'
            "    if (net_add_operators(all) != kTfLiteOk)\n        return 1;\n"
            f"    return all.count() == {len(added)} && net_add_operators(all) == kTfLiteError\n"
            "               ? 0\n               : 2;\n}\n"
        )
        command = [compiler("g++"), *CXX, f"-I{DOUBLE}", main, "-o", folder / "main"]
        subprocess.run(command, check=True)
        run_c(folder / "main", b"")


@pytest.mark.parametrize("name", ["std_cam", "ds_cam", "tiny_cam"])
def test_a_model_of_another_project(shared_dir: Path, tmp_path: Path, name: str) -> None:
    data = (shared_dir / "anchors" / f"{name}.tflite").read_bytes()
    tflm_model(data, tmp_path / name, name)
    assert dumped(tmp_path / name, name) == data


def test_an_output_is_found_by_its_name(dense: Bundle) -> None:
    def forget_signature(model: schema.ModelT) -> None:
        model.signatureDefs = []

    def rename(model: schema.ModelT) -> None:
        model.signatureDefs[0].outputs[1].name = b"logits"

    unsigned = edited(dense.tflite, forget_signature)
    assert output_position(unsigned, "evidence") == 1  # the tensor's own name
    assert output_position(dense.tflite, "logits") == 0
    with pytest.raises(ModelError, match=r"named \['logits', 'logits'\], expected 'evidence' once"):
        output_position(edited(dense.tflite, rename), "evidence")
    with pytest.raises(
        ModelError, match="which is no output"
    ):  # the signature's tensor is no output
        output_position(with_outputs(dense.tflite, list.pop), "evidence")


@pytest.mark.parametrize("code", ["CUSTOM", "RFFT2D"])
def test_an_operator_that_is_not_known_is_refused_by_name(
    dense: Bundle, tmp_path: Path, code: str
) -> None:
    def edit(model: schema.ModelT) -> None:
        number = getattr(schema.BuiltinOperator, code)
        model.operatorCodes[0].builtinCode = number
        model.operatorCodes[0].deprecatedBuiltinCode = min(number, 127)

    with pytest.raises(ModelError, match=f"operator {code}, expected"):
        tflm_model(edited(dense.tflite, edit), tmp_path / "model", "net")
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_are_refused(dense: Bundle, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for cut_at in [0, 3, 10, *rng.integers(16, len(dense.tflite), 40).tolist()]:
        folder = tmp_path / str(cut_at)
        try:
            tflm_model(dense.tflite[:cut_at], folder, "net")
        except ModelError:
            refused += 1
            assert not folder.exists()
    assert refused > 20
