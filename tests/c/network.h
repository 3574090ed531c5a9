/* The network of a program that works for any one: the compiler's options -DNETWORK=nano -DNETWORK_CAPITALS=NANO choose
   it. */

#ifndef NETWORK_H
#define NETWORK_H

#define JOIN_AS_THEY_ARE(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN_AS_THEY_ARE(a, b, c)
#define TEXT_AS_IT_IS(x) #x
#define TEXT(x) TEXT_AS_IT_IS(x)

#define NETWORK_HEADER(network) TEXT(network.h)
#include NETWORK_HEADER(JOIN(vit_, NETWORK, ))

#define VIT_NETWORK JOIN(vit_, NETWORK, )
#define VIT_MODEL JOIN(vit_, NETWORK, _model)
#define VIT_SCRATCH JOIN(vit_, NETWORK, _scratch)
#define VIT_SIZE(what) JOIN(VIT_, NETWORK_CAPITALS, _##what)

#endif
