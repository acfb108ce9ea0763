'use strict';

// The page at /graphql: posts operations, follows subscriptions, lists what there is. All text that comes from the
// server is set as text, never as markup.

const byId = (id) => document.getElementById(id);
const [query, variables, answer, state, token] = ['query', 'variables', 'answer', 'state', 'token'].map(byId);

const EXAMPLE = 'query {\n  listDiagrams(limit: 10) {\n    metadata { id name description }\n  }\n}\n';
const INTROSPECTION = `{
  __schema {
    queryType { fields { ...Operation } }
    mutationType { fields { ...Operation } }
    subscriptionType { fields { ...Operation } }
    types { kind name fields { name type { ...Kind } } inputFields { name type { ...Kind } } }
  }
}
fragment Operation on __Field {
  name description args { name type { ...Kind } } type { ...Kind }
}
fragment Kind on __Type {
  kind name ofType { kind name ofType { kind name ofType { kind name } } }
}`;

let socket = null;
let types = new Map();

function headers() {
  const all = {'content-type': 'application/json', accept: 'application/json'};
  if (token.value.trim()) all.authorization = `Bearer ${token.value.trim()}`;
  return all;
}

async function post(request) {
  const response = await fetch('/graphql', {method: 'POST', headers: headers(), body: JSON.stringify(request)});
  return {status: response.status, text: await response.text()};
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function request() {
  const text = variables.value.trim();
  const read = {query: query.value};
  if (text) read.variables = JSON.parse(text);
  return read;
}

// Only a rough look: the server says what it is.
const isSubscription = (text) => /^\s*(#.*\s*)*subscription\b/.test(text);

async function run() {
  stop();
  let wanted;
  try {
    wanted = request();
  } catch (error) {
    answer.textContent = `The variables are not JSON: ${error.message}`;
    return;
  }
  answer.textContent = '';
  if (isSubscription(wanted.query)) {
    follow(wanted);
    return;
  }
  state.textContent = 'running';
  const begun = performance.now();
  try {
    const {status, text} = await post(wanted);
    answer.textContent = pretty(text);
    state.textContent = `${status} in ${Math.round(performance.now() - begun)} ms`;
  } catch (error) {
    state.textContent = error.message;
  }
}

function follow(wanted) {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const own = new WebSocket(`${scheme}//${location.host}/graphql`, 'graphql-transport-ws');
  let heard = 0;
  socket = own;
  byId('stop').disabled = false;
  const say = (message) => own.send(JSON.stringify(message));
  own.onopen = () => {
    const text = token.value.trim();
    say({type: 'connection_init', payload: text ? {Authorization: `Bearer ${text}`} : {}});
  };
  own.onmessage = ({data}) => {
    const message = JSON.parse(data);
    if (message.type === 'connection_ack') {
      say({id: '1', type: 'subscribe', payload: wanted});
    } else if (message.type === 'ping') {
      say({type: 'pong'});
    } else if (message.type === 'next' || message.type === 'error') {
      heard += 1;
      answer.append(`${JSON.stringify(message.payload, null, 2)}\n`);
      state.textContent = `${heard} heard`;
    }
    if (message.type === 'complete' || message.type === 'error') own.close(1000);
  };
  own.onclose = ({code, reason}) => {
    if (socket !== own) return;
    socket = null;
    byId('stop').disabled = true;
    state.textContent = `${heard} heard, closed: ${code} ${reason}`;
  };
}

function stop() {
  if (socket) socket.close(1000);
}

const named = (kind) => (kind.name ? kind.name : named(kind.ofType));

function written(kind) {
  if (kind.kind === 'NON_NULL') return `${written(kind.ofType)}!`;
  if (kind.kind === 'LIST') return `[${written(kind.ofType)}]`;
  return kind.name;
}

// The fields of a type that have no fields themselves, so that the document can be run as it is.
function selection(kind) {
  const type = types.get(named(kind));
  if (!type || !type.fields) return '';
  const leaves = type.fields.filter((it) => !types.get(named(it.type))?.fields).map((it) => it.name);
  return ` {\n    ${(leaves.length ? leaves : ['__typename']).join('\n    ')}\n  }`;
}

function sample(kind) {
  if (kind.kind !== 'NON_NULL') return null;
  const type = types.get(named(kind));
  if (!type?.inputFields) return ['Int', 'Float'].includes(named(kind)) ? 0 : '';
  const needed = type.inputFields.filter((it) => it.type.kind === 'NON_NULL');
  return Object.fromEntries(needed.map((it) => [it.name, sample(it.type)]));
}

function insert(word, field) {
  const needed = field.args.filter((it) => it.type.kind === 'NON_NULL');
  const declared = needed.map((it) => `$${it.name}: ${written(it.type)}`).join(', ');
  const passed = needed.map((it) => `${it.name}: $${it.name}`).join(', ');
  const head = declared ? `${word}(${declared})` : word;
  query.value = `${head} {\n  ${field.name}${passed ? `(${passed})` : ''}${selection(field.type)}\n}\n`;
  const values = Object.fromEntries(needed.map((it) => [it.name, sample(it.type)]));
  variables.value = needed.length ? JSON.stringify(values, null, 2) : '';
  query.focus();
}

function list(schema) {
  types = new Map(schema.types.map((it) => [it.name, it]));
  const groups = [['query', schema.queryType], ['mutation', schema.mutationType], ['subscription', schema.subscriptionType]];
  byId('operations').replaceChildren(...groups.flatMap(([word, type]) => {
    const title = document.createElement('h2');
    title.textContent = word;
    const buttons = (type?.fields ?? []).map((field) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = field.name;
      button.title = field.description ?? '';
      button.onclick = () => insert(word, field);
      return button;
    });
    return [title, ...buttons];
  }));
}

async function look() {
  try {
    const {status, text} = await post({query: INTROSPECTION});
    if (status === 200) list(JSON.parse(text).data.__schema);
    else state.textContent = status === 401 ? 'this server asks for a token' : `the operations cannot be listed: ${status}`;
  } catch (error) {
    state.textContent = error.message;
  }
}

byId('run').onclick = run;
byId('stop').onclick = stop;
byId('filter').oninput = ({target}) => {
  const wanted = target.value.trim().toLowerCase();
  for (const it of byId('operations').querySelectorAll('button')) {
    it.hidden = !it.textContent.toLowerCase().includes(wanted);
  }
};
token.onchange = look;
document.onkeydown = (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  }
};
query.value = EXAMPLE;
look();
