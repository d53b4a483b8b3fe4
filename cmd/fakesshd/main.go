// Command fakesshd is an SSH server whose sessions run anywhere in a tree of contexts.
package main

func main() {}
