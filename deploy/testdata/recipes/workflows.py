"""Runs the definitions of Workflows that the recipes are made of. It is no Workflows: it knows the steps, functions and
operators that the two use, takes expressions for Python's where both mean the same, and has the rules of scope not."""

import base64
import json
import re


class Raised(Exception):
    def __init__(self, value):
        super().__init__(str(value))
        self.value = value


class Map(dict):
    __getattr__ = dict.__getitem__


def mapped(value):
    if isinstance(value, dict):
        return Map({k: mapped(v) for k, v in value.items()})
    return [mapped(v) for v in value] if isinstance(value, list) else value


class Namespace:
    def __init__(self, **functions):
        self.__dict__.update(functions)


def http_error(code):
    return Raised(Map(code=code, tags=["HttpError"]))


class Execution:
    """One execution of a workflow. calls are what it may call, by name, each given its arguments."""

    def __init__(self, definition, calls, environment):
        self.main, self.calls = definition["main"], calls
        self.variables = {
            "true": True, "false": False, "null": None, "len": len, "default": lambda v, d: d if v is None else v,
            "sys": Namespace(get_env=environment.__getitem__), "map": Namespace(get=lambda m, k: m.get(k)),
            "text": Namespace(split=lambda s, by: s.split(by)), "http": Namespace(default_retry="default_retry"),
            "json": Namespace(encode=lambda v: json.dumps(v).encode(), decode=lambda v: mapped(json.loads(v))),
            "base64": Namespace(encode=lambda v: base64.b64encode(v).decode(), decode=base64.b64decode),
        }

    def run(self, argument):
        self.variables[self.main["params"][0]] = mapped(argument)
        return self.steps(self.main["steps"])[1]

    def value(self, of):
        if isinstance(of, dict):
            return Map({k: self.value(v) for k, v in of.items()})
        if isinstance(of, list):
            return [self.value(v) for v in of]
        found = re.fullmatch(r"\$\{(.*)\}", of, re.DOTALL) if isinstance(of, str) else None
        return eval(found[1], {"__builtins__": {}}, self.variables) if found else mapped(of)

    def steps(self, steps):
        """Returns ("return", value), ("next", step) for a step that is not among these, or ("end", None)."""
        names, at = [next(iter(s)) for s in steps], 0
        while at < len(steps):
            what, value = self.step(steps[at][names[at]])
            if what == "next" and value in names:
                at = names.index(value)
            elif what == "end":
                at += 1
            else:
                return what, value
        return "end", None

    def step(self, s):
        result = self.body(s)
        if result == ("end", None) and "next" in s:
            return "next", s["next"]
        return result

    def body(self, s):
        if "try" in s:
            try:
                return self.steps(s["try"]["steps"]) if "steps" in s["try"] else self.step(s["try"])
            except Raised as e:
                if "except" not in s:
                    raise
                self.variables[s["except"]["as"]] = e.value
                return self.steps(s["except"]["steps"])
        if "call" in s:
            answer = mapped(self.calls[s["call"]](**self.value(s.get("args", {}))))
            if "result" in s:
                self.variables[s["result"]] = answer
        for assignment in s.get("assign", []):
            for name, value in assignment.items():
                variable, key = re.fullmatch(r'(\w+)(?:\["(.*)"\])?', name).groups()
                if key:
                    self.variables[variable][key] = self.value(value)
                else:
                    self.variables[variable] = self.value(value)
        for case in s.get("switch", []):
            if self.value(case["condition"]):
                return self.step({k: v for k, v in case.items() if k != "condition"})
        if "for" in s:
            for self.variables[s["for"]["value"]] in self.value(s["for"]["in"]):
                what, value = self.steps(s["for"]["steps"])
                if (what, value) != ("next", "continue") and what != "end":
                    return what, value
        if "raise" in s:
            raise Raised(self.value(s["raise"]))
        return ("return", self.value(s["return"])) if "return" in s else ("end", None)
