type Method = (...args: readonly unknown[]) => unknown;

export interface Watcher {
  /** Called before a method that is not overridden. */
  called?(method: string, args: readonly unknown[]): void;
  /** Called when any member is read. */
  accessed?(): void;
}

/**
 * A proxy that observes calls: the members in `overrides` replace the object's own; the others run with the object as
 * `this`. It is an instance of the object's class. Assigned members stay on the proxy.
 */
export function proxied<T extends object>(
  target: T,
  overrides: { readonly [Member in keyof T]?: T[Member] },
  watcher: Watcher = {},
): T {
  const own = new Map<PropertyKey, unknown>(Object.entries(overrides));
  const bound = new Map<PropertyKey, Method>();
  return new Proxy(target, {
    get: (_, key) => {
      watcher.accessed?.();
      if (own.has(key)) return own.get(key);
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      const known = bound.get(key);
      if (known !== undefined) return known;
      const method: Method = (...args) => {
        watcher.called?.(String(key), args);
        return Reflect.apply(value, target, args);
      };
      bound.set(key, method);
      return method;
    },
    set: (_, key, value) => {
      own.set(key, value);
      return true;
    },
  });
}
