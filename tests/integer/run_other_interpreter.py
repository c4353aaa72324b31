"""Runs a .tflite file in an interpreter that needs an environment of its own (numpy < 2).

    python run_other_interpreter.py {tflite-runtime|tflm} model.tflite inputs.npy outputs.npz

`inputs.npy` is int8 [B, N, leads]; `outputs.npz` gets `evidence` int8 [B, T, C] and `logits` int8
[B, C]. Prints one line of JSON about the interpreter, for TFLM with the arena it used in bytes.
This file runs where beatlens is not installed, and takes what it needs of it from a file beside it.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "sdk" / "beatlens" / "firmware"))
from arena_search import load_into, load_tflm, smallest_arena


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


def run_tflm(model: bytes, inputs: np.ndarray) -> tuple[dict[str, list], dict]:
    """The TensorFlow Lite Micro interpreter, with its reference kernels."""
    wrapper = load_tflm()
    wrapper.init()
    messages: list[str] = []
    wrapper.set_logger_callback(messages.append)
    arena_bytes = smallest_arena(wrapper, model)
    interpreter = arena_bytes and load_into(wrapper, model, arena_bytes)
    if not interpreter:
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
