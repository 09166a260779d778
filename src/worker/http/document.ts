import { version } from '../../generated/version.js';
import { OpenAPIHono, type z } from '../packages/index.js';
import { problem } from './answers.js';
import type { Route } from './route.js';
import { idParameter, nameParameter } from './schemas.js';

/** The OpenAPI 3.1 document of the routes. */
export function openApiDocument(routes: readonly Route[]): unknown {
  const { openAPIRegistry, getOpenAPI31Document } = registry();
  openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  for (const { method, path, role, summary, body, status, answer } of routes) {
    openAPIRegistry.registerPath({
      method,
      path,
      summary,
      operationId: operationId(method, path),
      security: role === null ? [] : [{ bearer: [role] }],
      request: {
        ...(path.includes('{name}') ? { params: nameParameter } : {}),
        ...(path.includes('{id}') ? { params: idParameter } : {}),
        ...(body === null ? {} : { body: { content: { 'application/json': { schema: body } } } }),
      },
      responses: {
        [status]: { description: summary, ...content(answer) },
        ...(path === '/readyz' ? { 503: { description: 'Not ready.' } } : {}),
        ...(role === null
          ? {}
          : {
              default: {
                description: 'An error.',
                content: { 'application/problem+json': { schema: problem } },
              },
            }),
      },
    });
  }
  return getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'vram-residency worker',
      version,
      description: 'Holds models sealed and verified in the memory of one GPU.',
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
    },
    servers: [{ url: '/', description: 'This worker.' }],
  });
}

function registry() {
  const app = new OpenAPIHono();
  return {
    openAPIRegistry: app.openAPIRegistry,
    getOpenAPI31Document: app.getOpenAPI31Document,
  };
}

function content(answer: z.ZodType | string | null) {
  if (answer === null) return {};
  if (typeof answer === 'string') return { content: { [answer]: { schema: { type: 'string' as const } } } };
  return { content: { 'application/json': { schema: answer } } };
}

/** `post /v1/models/{name}/verify` is `postModelsNameVerify`. */
function operationId(method: string, path: string): string {
  const words = path.split(/[^A-Za-z]+/).filter((word) => word !== '' && word !== 'v');
  return method + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
}
