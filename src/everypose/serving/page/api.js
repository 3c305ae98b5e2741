// The API's description for people, from the service's own openapi.json.

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter(Boolean));
  return made;
}

function typeOf(schema, all) {
  if (schema.$ref) return typeOf(all.components.schemas[schema.$ref.split("/").pop()], all);
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(one, all)).filter((one) => one !== "null").join(" | ");
  return schema.title && schema.properties ? schema.title : schema.format ?? schema.type ?? "object";
}

function table(heads, rows) {
  if (!rows.length) return null;
  const cells = (tag, texts) => element("tr", {}, ...texts.map((text) => element(tag, { textContent: text ?? "" })));
  return element("div", { className: "scroll" },
    element("table", {}, element("thead", {}, cells("th", heads)), element("tbody", {}, ...rows.map((row) => cells("td", row)))));
}

function fields(schema, all) {
  return Object.entries(schema.properties ?? {}).map(([name, one]) => [name, typeOf(one, all), one.description]);
}

function example(method, path, operation) {
  const upload = Object.keys(operation.requestBody?.content ?? {}).includes("multipart/form-data");
  const field = upload && Object.keys(operation.requestBody.content["multipart/form-data"].schema.properties)[0];
  const parts = ["curl", method === "get" ? "" : `-X ${method.toUpperCase()}`, field ? `-F ${field}=@FILE` : "",
                 `${location.origin}${path}`];
  return element("pre", {}, element("code", { textContent: parts.filter(Boolean).join(" ") }));
}

function section(method, path, operation, all) {
  const parameters = (operation.parameters ?? []).map((one) => [one.name, typeOf(one.schema, all),
    one.description ?? one.schema.description]);
  const answers = Object.entries(operation.responses).map(([status, one]) =>
    [status, Object.keys(one.content ?? {}).join(", "), one.description]);
  return element("section", { className: "result" },
    element("h2", {}, element("span", { className: "method", textContent: method.toUpperCase() }), ` ${path}`),
    element("p", { textContent: operation.summary }),
    example(method, path, operation),
    table(["Parameter", "Type", ""], parameters),
    table(["Status", "Content", ""], answers));
}

const all = await (await fetch("openapi.json")).json();
const sections = Object.entries(all.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => section(method, path, operation, all)));
const schemas = Object.entries(all.components.schemas).map(([name, schema]) =>
  element("section", { className: "result" }, element("h2", { textContent: name }),
    element("p", { textContent: schema.description ?? "" }), table(["Field", "Type", ""], fields(schema, all))));
const stream = element("section", { className: "result" },
  element("h2", {}, element("span", { className: "method", textContent: "WS" }), " /v1/stream"),
  element("p", { textContent: "Frames in, people with ids out. First send a JSON object with token, model, " +
    "min_score, skeleton and track (all optional), then one encoded image after the other, each when the last is answered." }));
document.getElementById("operations").append(...sections, stream, ...schemas);
