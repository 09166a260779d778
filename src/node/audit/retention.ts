/** How long pruning keeps records by default: seven years of 365.25 days. */
export const DEFAULT_RETENTION_DAYS = 2_557;
