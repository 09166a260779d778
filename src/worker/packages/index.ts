// The service's third-party packages. The build bundles them into one file, so that the library does not depend on
// them.
export { getRequestListener } from '@hono/node-server';
export { OpenAPIHono, z } from '@hono/zod-openapi';
export { type Context, Hono } from 'hono';
