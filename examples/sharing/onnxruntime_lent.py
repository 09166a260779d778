"""
ONNX Runtime on lent weights: python onnxruntime_lent.py SOCKET MODEL_NAME MODEL.onnx [EXTERNAL_TENSOR...]

The graph comes from the file, the weights from the worker. `add_initializer` hands ONNX Runtime the lent memory itself.
Tensors with external data can be given by `add_external_initializers` too: name them. ONNX Runtime copies those into its
graph, so that it then computes on an unverified copy.
"""
import sys

import onnxruntime as ort
from onnxruntime.capi import _pybind_state

from vram_residency.share import connect


def ort_value(tensor):
    """A lent tensor as ONNX Runtime's, over the same memory."""
    capsule = tensor.__dlpack__()
    return ort.OrtValue(_pybind_state.OrtValue.from_dlpack(capsule, tensor.dtype == "BOOL"))


def session_over(lease, model, external=()):
    """The session, and the values that must outlive it. `external`: names of tensors to be copied."""
    options = ort.SessionOptions()
    # Nothing that would pack the weights into memory of ONNX Runtime's own.
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    values = {name: ort_value(tensor) for name, tensor in lease.tensors.items()}
    if external:
        options.add_external_initializers(list(external), [values[name] for name in external])
    for name, value in values.items():
        if name not in external:
            options.add_initializer(name, value)
    return ort.InferenceSession(model, options, providers=ort.get_available_providers()), values


def main(socket, name, model, *external):
    lease = connect(socket, client="onnxruntime").lend(name)
    session, values = session_over(lease, model, external)
    lease.check(max_age_ms=90_000)
    # A variable that is left over here would keep the session, and with it the tensors.
    print("\n".join(f"{entry.name} {entry.type} {entry.shape}" for entry in session.get_inputs()))
    del session, values
    lease.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
