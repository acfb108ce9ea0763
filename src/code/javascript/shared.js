// What both JavaScript runtimes share: values as JSON, and the text of what is printed.
// Evaluates to an object of functions.
({
  // Returns `value` as JSON text. Dates become ISO text, maps objects, sets sorted lists; what is no
  // JSON is an error that names its place.
  toJson(value) {
    const open = new Set();
    const refuse = (path, what) => {
      const place = path === "" ? "the value" : "the value at `" + path.replace(/^\./, "") + "`";
      throw new TypeError(place + " is " + what + ", which is not JSON");
    };
    const compare = (a, b) => {
      if (typeof a === typeof b && (typeof a === "number" || typeof a === "string")) {
        return a < b ? -1 : a > b ? 1 : 0;
      }
      const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
      return left < right ? -1 : left > right ? 1 : 0;
    };
    const list = (items, path) => Array.from(items, (item, i) => plain(item, path + "[" + i + "]"));
    const object = (entries, path) => {
      const made = Object.create(null);
      for (const [key, item] of entries) {
        if (item !== undefined) made[key] = plain(item, path + "." + String(key));
      }
      return made;
    };
    const container = (item, path) => {
      if (open.has(item)) refuse(path, "a value that contains itself");
      if (open.size >= 100) throw new RangeError("a value is nested deeper than 100 levels");
      open.add(item);
      let made;
      if (Array.isArray(item)) made = list(item, path);
      else if (item instanceof Set) made = list(item, path).sort(compare);
      else if (item instanceof Map) made = object(item.entries(), path);
      else if (typeof item.toJSON === "function") made = plain(item.toJSON(), path);
      else made = object(Object.entries(item), path);
      open.delete(item);
      return made;
    };
    const plain = (item, path) => {
      switch (typeof item) {
        case "undefined":
          return null;
        case "boolean":
        case "string":
          return item;
        case "number":
          return Number.isFinite(item) ? item : refuse(path, "the number `" + item + "`");
        case "bigint":
          return Number.isSafeInteger(Number(item)) ? Number(item) : refuse(path, "a BigInt beyond 53 bits");
        case "object":
          if (item === null) return null;
          if (item instanceof Promise) refuse(path, "a promise (add `await`)");
          if (item instanceof Number || item instanceof String || item instanceof Boolean) return item.valueOf();
          return container(item, path);
        default:
          return refuse(path, "a " + typeof item);
      }
    };
    return JSON.stringify(plain(value, ""));
  },

  // Returns the arguments of one `console.log` as a line.
  toLine(values) {
    const show = (value) => {
      if (typeof value === "string") return value;
      if (value instanceof Error) return value.name + ": " + value.message;
      try {
        const text = JSON.stringify(value);
        return text === undefined ? String(value) : text;
      } catch {
        return String(value);
      }
    };
    return values.map(show).join(" ") + "\n";
  },
})
