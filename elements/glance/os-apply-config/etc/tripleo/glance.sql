CREATE DATABASE IF NOT EXISTS glance CHARACTER SET utf8mb3;
CREATE OR REPLACE USER 'glance'@'localhost' IDENTIFIED BY '{{glance.db-password}}';
GRANT ALL ON glance.* TO 'glance'@'localhost';
