//! The client: what a program embeds to know its flags.
