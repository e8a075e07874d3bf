"""Where the weak signals of ``resonance`` come from: what is derived from orders, customers and warehouses."""
