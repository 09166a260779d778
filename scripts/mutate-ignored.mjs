// A plugin of Stryker that skips mutants that would not compile. In a list of option keys every value is `true` by its type,
// and only the names are read.
export const strykerPlugins = [
  {
    kind: 'Ignore',
    name: 'option-keys',
    value: {
      shouldIgnore(path) {
        if (!path.isBooleanLiteral()) return undefined;
        const list = path.findParent((parent) => parent.isTSSatisfiesExpression());
        return list?.node.typeAnnotation.typeName?.name === 'OptionKeys' ? 'does not compile' : undefined;
      },
    },
  },
];
