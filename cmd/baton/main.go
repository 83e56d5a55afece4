// Command baton is a high-availability director for Linux IPVS.
package main

func main() {}
