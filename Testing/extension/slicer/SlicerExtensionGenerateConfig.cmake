# What other extensions find this one by.
file(WRITE ${CMAKE_BINARY_DIR}/${EXTENSION_NAME}Config.cmake "set(${EXTENSION_NAME}_DEPENDS ${EXTENSION_DEPENDS})\n")
