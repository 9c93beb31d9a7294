// Written by `upgrademock exec` for the length of a run; --no-hooks goes without.
//
// Node looks at HTTPS_PROXY only since version 24, and only when NODE_USE_ENV_PROXY is set. For the others, connections to
// the platform are led to the emulator's own listeners; the names in TLS and in the Host header stay as they are. Every
// other connection is made as it would be without, and so are all if something goes wrong in here.
'use strict';
try {
  const net = require('net');

  const hosts = new Set((process.env.UPGRADEMOCK_HOSTS || '').split(',').filter(Boolean));
  const listeners = new Map([[443, process.env.UPGRADEMOCK_HTTPS_URL], [80, process.env.UPGRADEMOCK_URL]]
    .filter(([, url]) => url).map(([port, url]) => [port, new URL(url)]));

  // led returns connect's arguments with the emulator's address in them, or as they are.
  const led = args => {
    try {
      const normalized = Array.isArray(args[0]) ? args[0] : net._normalizeArgs(args);
      const { host, port } = normalized[0];
      const listener = listeners.get(Number(port));
      if (listener && typeof host === 'string' && hosts.has(host.toLowerCase().replace(/\.$/, ''))) {
        normalized[0] = Object.assign({}, normalized[0], { host: listener.hostname, port: Number(listener.port) });
        return [normalized];
      }
    } catch (_) { /* as they are */ }
    return args;
  };

  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = function (...args) {
    return connect.apply(this, led(args));
  };
} catch (_) { /* as it would be without */ }
