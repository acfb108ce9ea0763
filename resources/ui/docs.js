// Shows /openapi.json. Everything becomes text of elements that are made here; nothing is read as HTML.
"use strict";

const made = (name, text, className) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};

const VERBS = ["get", "post", "put", "delete"];
const DEPTH_MAX = 6;

class Page {
  constructor(description) {
    this.description = description;
  }

  resolved(value) {
    if (!value || !value.$ref) return value || {};
    const found = value.$ref.split("/").slice(1).reduce((at, key) => (at || {})[key], this.description);
    return this.resolved(found);
  }

  // The type of a schema in a few words.
  kind(schema, depth = 0) {
    if (schema && schema.$ref) return schema.$ref.split("/").pop();
    if (!schema || depth > DEPTH_MAX) return "any";
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((it) => JSON.stringify(it)).join(" | ");
    const options = schema.oneOf || schema.anyOf;
    if (options) return [...new Set(options.map((it) => this.kind(it, depth + 1)))].join(" | ");
    if (schema.type === "array") return `list of ${this.kind(schema.items, depth + 1)}`;
    return [].concat(schema.type || "any").join(" | ");
  }

  table(rows) {
    const table = made("table");
    for (const [name, kind, about] of rows) {
      const row = made("tr");
      row.append(made("td", name, "path"), made("td", kind), made("td", about || "", "about"));
      table.append(row);
    }
    return table;
  }

  fields(schema) {
    const object = this.resolved(schema);
    const required = object.required || [];
    return Object.entries(object.properties || {}).map(([name, field]) => [
      required.includes(name) ? `${name} *` : name, this.kind(field), this.resolved(field).description || field.description,
    ]);
  }

  section(parent, title, rows) {
    if (rows.length) parent.append(made("h4", title), this.table(rows));
  }

  operation(path, verb, operation) {
    const details = made("details", undefined, "operation");
    details.id = operation.operationId;
    const summary = made("summary");
    summary.append(made("span", verb.toUpperCase(), `verb ${verb}`), made("span", path, "path"), made("span", operation.summary, "about"));
    details.append(summary);
    details.addEventListener("toggle", () => this.fill(details, operation), { once: true });
    details.dataset.words = `${verb} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
    return details;
  }

  // What an operation takes and answers, once it is opened.
  fill(details, operation) {
    const scopes = operation["x-scopes"] || [];
    details.append(made("p", `${operation.operationId}: ${operation["x-handler"]}${scopes.length ? `, needs ${scopes.join(", ")}` : ""}`, "about"));
    const parameter = (it) => [it.required ? `${it.name} *` : it.name, `${it.in}: ${this.kind(it.schema)}`, it.description];
    this.section(details, "Parameters", (operation.parameters || []).map(parameter));
    const body = operation.requestBody && operation.requestBody.content["application/json"].schema;
    if (body) this.section(details, "Body", this.fields(body));
    details.append(made("h4", "Answers"));
    for (const [status, answer] of Object.entries(operation.responses)) {
      const response = this.resolved(answer);
      const content = response.content && response.content["application/json"];
      const line = made("details");
      line.append(made("summary", `${status} ${response.description}`));
      if (content) line.append(made("p", this.kind(content.schema), "path"), this.table(this.fields(content.schema)));
      details.append(line);
    }
  }

  show(parent) {
    parent.replaceChildren();
    for (const group of this.description.tags) {
      const section = made("section");
      section.append(made("h2", group.name), made("p", group.description, "about"));
      for (const [path, item] of Object.entries(this.description.paths)) {
        for (const verb of VERBS) {
          if (item[verb] && item[verb].tags.includes(group.name)) section.append(this.operation(path, verb, item[verb]));
        }
      }
      parent.append(section);
    }
  }
}

const find = (parent, text) => {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const it of parent.querySelectorAll("details.operation")) {
    it.hidden = !words.every((word) => it.dataset.words.includes(word));
  }
};

const start = async () => {
  const parent = document.getElementById("operations");
  try {
    const answer = await fetch("/openapi.json");
    const description = await answer.json();
    if (!answer.ok) throw new Error(description.error ? description.error.message : String(answer.status));
    document.getElementById("about").textContent = `${description.info.description}. Version ${description.info.version}.`;
    new Page(description).show(parent);
    document.getElementById("wanted").addEventListener("input", (event) => find(parent, event.target.value));
  } catch (error) {
    parent.replaceChildren(made("p", `The description cannot be read: ${error.message}`));
  }
};

start();
