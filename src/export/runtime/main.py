import argparse
import os
import sys


def check_inputs(declared, given):
    """The run's input with defaults filled in; all problems at once."""
    if not declared:
        return given
    problems = ["there is no input `%s`" % it for it in given if it not in declared]
    complete = {}
    for name, wanted in declared.items():
        if name not in given and "default" not in wanted:
            problems += ["the input `%s` is required" % name] if wanted.get("required") else []
            continue
        complete[name] = given.get(name, wanted.get("default"))
        problems += input_problem(name, wanted, complete[name])
    if problems:
        raise Failure("INVALID_INPUT", "; ".join(problems), "the diagram's inputs are: " + ", ".join(declared))
    return complete


def input_problem(name, wanted, value):
    if "enum" in wanted and value not in wanted["enum"]:
        return ["the input `%s` must be one of %s" % (name, ", ".join(spell(it) for it in wanted["enum"]))]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "number": is_number,
        "integer": is_number and value == int(value),
        "boolean": isinstance(value, bool),
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
    }
    kind = {"text": "string", "list": "array"}.get(wanted.get("type"), wanted.get("type"))
    return [] if fits.get(kind, True) else ["the input `%s` must be of type %s" % (name, wanted["type"])]


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-data", metavar="JSON", default="{}", help="the diagram's inputs as a JSON object")
    parser.add_argument("--workspace", metavar="DIR", default=".", help="folder that paths of files are relative to")
    parser.add_argument("--details", action="store_true", help="print status, outputs, errors and messages as well")
    arguments = parser.parse_args()
    arguments.inputs = json_or(arguments.input_data, None)
    if not isinstance(arguments.inputs, dict):
        parser.error("--input-data is not a JSON object")
    return arguments


def print_last(out, value):
    try:
        out.write(spell(value) + "\n")
        out.flush()
    except BrokenPipeError:
        pass


def main():
    arguments = read_arguments()
    # Whatever code prints goes to stderr; stdout carries the result.
    out, sys.stdout = sys.stdout, sys.stderr
    code = 1
    try:
        run_of_plan = Run(PLAN, NODES, PERSONS, check_inputs(INPUTS, arguments.inputs), Files(arguments.workspace))
        error = run_of_plan.go()
        for warning in run_of_plan.all_warnings():
            say("warning: %(code)s %(node)s: %(message)s" % warning)
        if error is not None:
            say("failed: %s %s" % (error["code"], error["message"]))
        shown = run_of_plan.result() if error is None else {"error": error}
        print_last(out, run_of_plan.details(error) if arguments.details else shown)
        code = 0 if error is None else 1
    except Failure as failure:
        say("failed: %s %s" % (failure.code, failure.message))
        print_last(out, {"error": failure.to_object()})
        code = 2
    except KeyboardInterrupt:
        code = 130
    finally:
        sys.stderr.flush()
        # Threads whose time was over must not hold the end up.
        os._exit(code)


if __name__ == "__main__":
    main()
