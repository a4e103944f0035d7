"""The configuration as JSON Schema (draft 2020-12), for editors and forms.

Made from the schema that ``load`` checks with, and no stricter: what holds between keys, and what a text must look like
beyond its type, is said in descriptions. Keys of OpenClaw's that this gateway ignores are there, as ``deprecated``.
"""

from __future__ import annotations

from dataclasses import fields as fields_of
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from app.config import fields as own
from app.config import schemas, settings
from app.config.faults import KeyPath
from app.config.include import INCLUDE
from app.config.keys import Tree, openclaw_keys
from app.config.secrecy import is_secret

Document = dict[str, Any]

_VARIABLE = {"$ref": "#/$defs/variable"}
_REFERENCE = {"$ref": "#/$defs/reference"}
_IGNORED = {"$ref": "#/$defs/ignored"}
_INCLUDE: Document = {INCLUDE: {"$ref": "#/$defs/include"}}
_SCALAR: Document = {"type": ["string", "number", "boolean"]}
# Read beside the schema that ``load`` checks with, and with more freedom.
_BESIDE: Document = {
    "env": {
        "description": "Variables that neither the process nor .env has; those in vars win",
        "type": "object",
        "properties": {
            **_INCLUDE,
            "vars": {"type": "object", "properties": _INCLUDE, "additionalProperties": {**_SCALAR, "writeOnly": True}},
            "shellEnv": {**_IGNORED, "type": "object"},
        },
        "additionalProperties": {**_SCALAR, "writeOnly": True},
    },
    "secrets": {"description": "providers: files that references to secrets may name"},
}
_END = r"\Z"
_DEFINITIONS = {
    "variable": {
        "description": "Text with ${NAME} in it, which stands for the environment variable",
        "type": "string",
        "pattern": r"\$\{[A-Z_][A-Z0-9_]*\}",
    },
    "reference": {
        "description": "Where a secret is: an environment variable, or a file (relative to the state folder)",
        "type": "object",
        "properties": {
            "source": {"enum": ["env", "file"]},
            "provider": {"description": "For a file: an entry of secrets.providers", "type": "string"},
            "id": {"description": "A variable, a file, or a JSON pointer into the provider's file", "type": "string"},
        },
        "required": ["source", "id"],
    },
    "include": {
        "description": "Files below this one's folder, whose objects are merged here before the keys beside this one",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    },
    "ignored": {"description": "OpenClaw's; this gateway ignores it", "deprecated": True},
}


def _defaults_of(kind: Any) -> Document:
    found = {each.name: each.default for each in fields_of(kind)}
    return {name: value for name, value in found.items() if isinstance(value, bool | int | float | str | tuple)}


_GATEWAY, _SESSION = _defaults_of(settings.Gateway), _defaults_of(settings.Session)
_DEFAULTS: dict[type[Schema], Document] = {
    schemas.AgentDefaultsSchema: _defaults_of(settings.Agent),
    schemas.AuthSchema: _defaults_of(settings.Auth),
    schemas.CatalogueModelSchema: _defaults_of(settings.Model),
    schemas.ChatCompletionsSchema: _defaults_of(settings.ChatCompletions),
    schemas.ConnectionsSchema: _defaults_of(settings.ConnectionLimits),
    schemas.ControlUiSchema: _defaults_of(settings.ControlUi),
    schemas.CorsSchema: {"allowed_origins": _GATEWAY["cors_allowed_origins"]},
    schemas.GatewaySchema: _GATEWAY,
    schemas.ImagesSchema: _defaults_of(settings.Images),
    schemas.LoggingSchema: _defaults_of(settings.Logging),
    schemas.MaintenanceSchema: {
        "prune_after": f"{_SESSION['prune_after_seconds'] // 86_400}d",
        "max_entries": _SESSION["max_entries"],
    },
    schemas.McpServerSchema: _defaults_of(settings.McpServer),
    schemas.ModelSchema: _defaults_of(settings.ModelChoice),
    schemas.ProviderSchema: _defaults_of(settings.Provider),
    schemas.RateLimitSchema: _defaults_of(settings.RateLimit),
    schemas.ReloadSchema: {"mode": _GATEWAY["reload_mode"]},
    schemas.ResponsesSchema: {"enabled": _GATEWAY["responses_enabled"]},
    schemas.SessionSchema: _SESSION,
    schemas.TrustedProxySchema: _defaults_of(settings.TrustedProxyAuth),
}


def config_schema() -> Document:
    """The JSON Schema of the whole file. A place for a secret is ``writeOnly``: read back, it is redacted."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "openclaw.json",
        **_whole(),
        "$defs": _DEFINITIONS,
    }


def _whole() -> Document:
    found = _section(schemas.CONFIG, openclaw_keys(), ())
    return {**found, "properties": {**found["properties"], **_BESIDE}}


def _section(schema: Schema, foreign: Tree, path: KeyPath) -> Document:
    defaults = _DEFAULTS.get(type(schema), {})
    properties: Document = _INCLUDE | {key: _ignored(tree) for key, tree in foreign.items() if key not in ("*", "[]")}
    required = []
    for name, field in schema.fields.items():
        key = str(field.data_key)
        properties[key] = _value(field, foreign.get(key, {}), (*path, key))
        default = defaults.get(str(field.attribute or name))
        if default is not None:
            properties[key]["default"] = list(default) if isinstance(default, tuple) else default
        if field.required:
            required.append(key)
    found = {"type": "object", "properties": properties, "additionalProperties": schema.unknown == EXCLUDE}
    # What must be there may be in an included file.
    return found | ({"anyOf": [{"required": [INCLUDE]}, {"required": required}]} if required else {})


def _value(field: fields.Field[Any], foreign: Tree, path: KeyPath) -> Document:
    found = _typed(field, foreign, path)
    if isinstance(field, fields.Nested) and not isinstance(field, own.Model):
        return found
    found = {"description": field.error_messages["invalid"], **found}
    if is_secret(path):
        return {"anyOf": [found, _REFERENCE], "writeOnly": True}
    return found


def _typed(field: fields.Field[Any], foreign: Tree, path: KeyPath) -> Document:
    if isinstance(field, fields.Nested):
        section = _section(field.schema, foreign, path)
        return {"anyOf": [{"type": "string"}, section]} if isinstance(field, own.Model) else section
    if isinstance(field, fields.List):
        return {"type": "array", "items": _value(field.inner, foreign.get("[]", {}), (*path, 0))}
    if isinstance(field, own.Entries):
        assert field.value_field is not None
        values = _value(field.value_field, foreign.get("*", {}), (*path, "*"))
        names: Document = {
            "description": field.name_allowed,
            "pattern": f"^{field.name_pattern.pattern.removesuffix(_END)}$",
        }
        names = {"anyOf": [names, {"const": INCLUDE}]}
        return {"type": "object", "propertyNames": names, "properties": _INCLUDE, "additionalProperties": values}
    if isinstance(field, own.AnyObject):
        return {"type": "object"}
    if isinstance(field, own.Flag):
        return {"type": "boolean"}
    if isinstance(field, own.Scalar):
        return {"type": ["string", "number", "boolean"]}
    if isinstance(field, fields.Integer | fields.Float):
        return {"type": "integer" if isinstance(field, fields.Integer) else "number", **_range(field)}
    return _text(field)


def _range(field: fields.Field[Any]) -> Document:
    found: Document = {}
    for each in field.validators:
        if isinstance(each, validate.Range):
            found |= {"minimum" if each.min_inclusive else "exclusiveMinimum": each.min}
            found |= {"maximum": each.max} if each.max is not None else {}
    return found


def _text(field: fields.Field[Any]) -> Document:
    replaced = field.metadata.get("replaced", {})
    for each in field.validators:
        if isinstance(each, validate.OneOf):
            return {"type": "string", "anyOf": [{"enum": [*each.choices, *replaced]}, _VARIABLE]}
    return {"type": "string"}


def _ignored(tree: Tree) -> Document:
    """A key that only OpenClaw has, with what may stand below it: one unknown there is a fault too."""
    return {**_IGNORED, **_below(tree)}


def _below(tree: Tree) -> Document:
    if "[]" in tree:
        return {"items": _below(tree["[]"])}
    if not tree:
        return {}
    names = _INCLUDE | {key: _below(below) for key, below in tree.items() if key != "*"}
    return {"properties": names, "additionalProperties": _below(tree["*"]) if "*" in tree else False}
