//! What a run leaves behind: files, charts, tables, and how they are read back.

mod charts;
mod compare;
mod console;
mod csv;
mod fixture;
mod folder;
mod html;
mod results;
