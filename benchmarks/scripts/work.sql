-- Inserts, an index, joins, aggregates, text; :rows is how much.
PRAGMA journal_mode = OFF;
CREATE TABLE item (id INTEGER PRIMARY KEY, key INTEGER, name TEXT, price REAL);
WITH RECURSIVE n (i, seed) AS (
    SELECT 1, 1
    UNION ALL
    SELECT i + 1, (seed * 1103515245 + 12345) % 2147483648 FROM n WHERE i < :rows
)
INSERT INTO item SELECT i, seed / 4096 % 1000, printf('name-%x', seed), seed % 10007 / 7.0 FROM n;
CREATE INDEX by_key ON item (key, price);
SELECT count(*), sum(key), round(avg(price), 6) FROM item;
SELECT key, count(*), round(sum(price), 4) FROM item GROUP BY key ORDER BY 3 DESC, key LIMIT 5;
SELECT count(*), round(sum(a.price - b.price), 4) FROM item a JOIN item b
    ON b.key = a.key AND b.price < a.price - 1400 WHERE a.id % 10 = 0;
SELECT count(*) FROM item WHERE name LIKE '%a7%' OR name GLOB '*[0-3]f?';
UPDATE item SET price = price * 1.01 WHERE key % 3 = 0;
DELETE FROM item WHERE key BETWEEN 100 AND 200;
SELECT count(*), round(sum(price), 4), max(name), total(length(name)) FROM item;
SELECT substr(name, -2) AS tail, count(DISTINCT key) FROM item GROUP BY tail ORDER BY 2 DESC, 1 LIMIT 5;
