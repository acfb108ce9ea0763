# Sourced by `run` and `conformance`: installs foreign programs below target/clients, each in exactly one version,
# so a program that changes its mind cannot change the outcome of a test. What is there already is kept.

NODE=22.23.3 # the suite and the inspector want 22.19 or newer; an older node would silently get an old inspector

clients="${CLIENTS_DIR:-$root/target/clients}"
node="$clients/node22/node_modules/node/bin/node"

say() { printf '%s\n' "$*" >&2; }

npm_install() { # npm_install FOLDER PACKAGE@VERSION
    local stamp="$clients/$1/.installed"
    [[ -f "$stamp" && "$(cat "$stamp")" == "$2" ]] && return 0
    command -v npm >/dev/null || { say "npm is not installed"; return 1; }
    say "installing $2"
    mkdir -p "$clients/$1"
    npm install --silent --no-audit --no-fund --prefix "$clients/$1" "$2" >&2 || return 1
    printf '%s' "$2" >"$stamp"
}

pip_install() { # pip_install FOLDER "PACKAGE==VERSION …"
    local packages
    read -ra packages <<<"$2"
    local stamp="$clients/$1/.installed"
    [[ -f "$stamp" && "$(cat "$stamp")" == "$2" ]] && return 0
    command -v python3 >/dev/null || { say "python3 is not installed"; return 1; }
    say "installing $2"
    python3 -m venv "$clients/$1" || return 1
    "$clients/$1/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2 || return 1
    printf '%s' "$2" >"$stamp"
}

# npm_bin FOLDER PACKAGE [NAME] prints the script that a package installs as a command.
npm_bin() {
    local package="$clients/$1/node_modules/$2"
    "$node" -p "const b = require('$package/package.json').bin;
        '$package/' + (typeof b === 'string' ? b : b['${3:-}'] ?? Object.values(b)[0])"
}
