/*
 * Version of the engine: that of the beatlens package which it came with.
 *
 *     #if BL_VERSION_MAJOR != 0
 *     #error "this firmware was written for version 0 of the engine"
 *     #endif
 */
#ifndef BL_VERSION_H
#define BL_VERSION_H

/* 8 bits each: major, minor and patch number, 0 to 255. */
#define BL_VERSION 0x000100
#define BL_VERSION_MAJOR (BL_VERSION >> 16 & 0xff)
#define BL_VERSION_MINOR (BL_VERSION >> 8 & 0xff)
#define BL_VERSION_PATCH (BL_VERSION & 0xff)

#endif
