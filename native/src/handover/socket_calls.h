// The functions exported to JavaScript for Unix sockets. Connections and listeners are identified by increasing numbers.
#ifndef VRAM_RESIDENCY_HANDOVER_SOCKET_CALLS_H
#define VRAM_RESIDENCY_HANDOVER_SOCKET_CALLS_H

#include "../napi_glue.h"

namespace vram {

// (onEvent): a handle of sockets. onEvent(kind, connection, value, descriptors) is called for what happens:
// 'connected' (value: listener, pid, uid, gid, groups), 'line' (value: bytes), 'closed' (value: why), 'exited'.
napi_value openSockets(napi_env env, const Arguments& arguments);

// (sockets): closes everything; no further event is delivered. Safe to call twice.
napi_value closeSockets(napi_env env, const Arguments& arguments);

// (sockets, path, mode, group or null, maxLineBytes): a promise for the listener.
napi_value listenAt(napi_env env, const Arguments& arguments);

// (sockets, listener): closes it and removes its file. Its connections stay open. Safe to call twice.
napi_value closeListener(napi_env env, const Arguments& arguments);

// (sockets, path, maxLineBytes): the connection of a client, which accepts descriptors.
napi_value connectTo(napi_env env, const Arguments& arguments);

// (sockets, connection, line, descriptors): 'sent', 'queued' or 'full'. The handles of descriptors are empty afterwards,
// unless it is full.
napi_value send(napi_env env, const Arguments& arguments);

// (sockets, connection): drops what is queued. Safe to call twice.
napi_value closeConnection(napi_env env, const Arguments& arguments);

// (sockets, connection): requests 'exited'.
napi_value watchPeer(napi_env env, const Arguments& arguments);

// (sockets, connection): closes it, and drops the record of its peer.
napi_value forgetConnection(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
