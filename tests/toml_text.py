"""Plain data as TOML text, for recipes written by tests."""

from __future__ import annotations

import json


def toml_of(data: dict, prefix: str = "") -> str:
    """Plain data as TOML; JSON's numbers, strings and lists are TOML's, None is left out."""
    tables = {key: value for key, value in data.items() if isinstance(value, dict)}
    values = {k: v for k, v in data.items() if k not in tables and v is not None}
    text = "\n".join(f"{key} = {_inline(value)}" for key, value in values.items()) + "\n"
    for key, value in tables.items():
        text += f"\n[{prefix}{key}]\n{toml_of(value, f'{prefix}{key}.')}"
    return text


def _inline(value: object) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{k} = {_inline(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inside} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_inline(one) for one in value)}]"
    return json.dumps(value)
