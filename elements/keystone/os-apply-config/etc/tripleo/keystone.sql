CREATE DATABASE IF NOT EXISTS keystone CHARACTER SET utf8mb3;
CREATE OR REPLACE USER 'keystone'@'localhost' IDENTIFIED BY '{{keystone.db-password}}';
GRANT ALL ON keystone.* TO 'keystone'@'localhost';
