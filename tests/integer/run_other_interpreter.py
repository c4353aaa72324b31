"""Runs a .tflite file in an interpreter that needs an environment of its own (numpy < 2).

    python run_other_interpreter.py {tflite-runtime|tflm} model.tflite inputs.npy outputs.npz

`inputs.npy` is int8 [B, N, leads]; `outputs.npz` gets `evidence` int8 [B, T, C] and `logits` int8
[B, C]. Prints one line of JSON about the interpreter, for TFLM with the arena it used in bytes.
This file knows nothing of beatlens: it runs where beatlens is not installed.
"""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np

LARGEST_ARENA = 1 << 20


def run_tflite_runtime(model: bytes, inputs: np.ndarray) -> tuple[dict[str, list], dict]:
    """The old stand-alone interpreter."""
    from tflite_runtime.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    details = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    outputs: dict[str, list] = {"evidence": [], "logits": []}
    for sample in inputs:
        interpreter.set_tensor(source, sample[None, None])
        interpreter.invoke()
        for name, values in outputs.items():
            values.append(interpreter.get_tensor(details[name])[0])
    return outputs, {"version": importlib.metadata.version("tflite-runtime")}


def load_tflm():
    """The compiled extension inside silabs-mltk; importing its package would need TensorFlow."""
    folder = Path(importlib.util.find_spec("mltk").submodule_search_locations[0])
    (path,) = (folder / "core" / "tflite_micro").glob("_tflite_micro_wrapper.*")
    name = "_tflite_micro_wrapper"
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def load_into(wrapper, model: bytes, arena_bytes: int):
    """An interpreter with a model in an arena of this size, or None."""
    interpreter = wrapper.TfliteMicroModelWrapper()
    # No accelerator, profiler, recorders or overlapping buffers.
    loaded = interpreter.load(model, None, False, False, False, False, [arena_bytes])
    return interpreter if loaded else None


def arena_suffices(wrapper, model: bytes, arena_bytes: int) -> bool:
    """Whether the model loads in an arena of this size.

    Tried in a child process: TFLM's MEAN does not check whether it got its scratch memory, so that
    an arena a little too small is a crash (which is also why the search silabs-mltk offers fails).
    """
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os._exit(0 if load_into(wrapper, model, arena_bytes) else 1)
    return os.waitpid(child, 0)[1] == 0


def smallest_arena(wrapper, model: bytes) -> int:
    """Bytes of the smallest arena the model loads in, to a multiple of 16."""
    low, high = 0, LARGEST_ARENA // 16
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if arena_suffices(wrapper, model, 16 * middle) else (middle, high)
    return 16 * high


def run_tflm(model: bytes, inputs: np.ndarray) -> tuple[dict[str, list], dict]:
    """The TensorFlow Lite Micro interpreter, with its reference kernels."""
    wrapper = load_tflm()
    wrapper.init()
    messages: list[str] = []
    wrapper.set_logger_callback(messages.append)
    arena_bytes = smallest_arena(wrapper, model)
    interpreter = load_into(wrapper, model, arena_bytes)
    if interpreter is None:
        raise SystemExit("TFLM does not accept the model: " + "; ".join(messages))
    outputs: dict[str, list] = {"evidence": [], "logits": []}
    for sample in inputs:
        np.copyto(interpreter.get_input(0), sample[None, None])
        if not interpreter.invoke():
            raise SystemExit("TFLM failed to run the model: " + "; ".join(messages))
        for i in range(interpreter.get_output_size()):
            value = interpreter.get_output(i)  # TFLM knows no names, but only logits have rank 2
            outputs["logits" if value.ndim == 2 else "evidence"].append(value[0].copy())
    return outputs, {
        "version": importlib.metadata.version("silabs-mltk"),
        "arena_bytes": arena_bytes,
    }


RUNNERS = {"tflite-runtime": run_tflite_runtime, "tflm": run_tflm}


def main(interpreter: str, model: str, inputs: str, outputs: str) -> None:
    values, facts = RUNNERS[interpreter](Path(model).read_bytes(), np.load(inputs))
    stacked = {name: np.stack(list_) for name, list_ in values.items()}
    np.savez(outputs, evidence=stacked["evidence"][:, 0], logits=stacked["logits"])
    print(json.dumps({"interpreter": interpreter, **facts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
